/** The picture of a LoRA without a preview: hue and letters from its name, weave from its base model. */

import { h } from "./dom.mjs?v=0.1.0"

// Without the dark yellows, which turn olive.
const HUES = [15, 35, 150, 172, 195, 222, 250, 275, 300, 328, 350]
const KNOWN = { SD1: 235, SD2: 215, SDXL: 300, SD3: 350, Flux: 145, Flux2: 165, Chroma: 60, Qwen: 265, Wan: 30, "Z-Image": 95, AuraFlow: 200, HiDream: 10 }
const CJK = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/

/** @param {string} text */
const hash = text => [...text].reduce((all, c) => Math.imul(all ^ (c.codePointAt(0) ?? 0), 16777619) >>> 0, 2166136261)

/** @param {string|null} architecture @returns {number} the hue of a base model */
export const hueOf = architecture =>
    /** @type {Record<string, number>} */ (KNOWN)[architecture ?? ""] ?? HUES[hash(architecture ?? "") % HUES.length]

/** @param {string} name @returns {string} two initials, or the first sign of a script without initials */
export function initials(name) {
    const sign = name.match(CJK)
    if (sign) return sign[0]
    const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean)
    const [first = "?", second] = words.map(word => [...word])
    return (first[0] + (second?.[0] ?? first[1] ?? "")).toUpperCase()
}

/** @param {string} name @param {string|null} architecture @returns {HTMLElement} */
export const placeholder = (name, architecture) =>
    h("div.ld-ph", { style: { "--h": HUES[hash(name) % HUES.length] }, "data-weave": hash(architecture ?? "") % 4, "aria-hidden": true },
        h("b", null, initials(name)))
