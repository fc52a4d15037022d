/** The chooser beside the pointer: what a dropped picture says, and by which way to open it. Nothing has changed yet. */

import { h, icon } from "./dom.mjs?v=0.1.0"
import { number, t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./library.mjs").ReadPicture} ReadPicture */

const EDGE = 8

/**
 * @param {File} file
 * @param {ReadPicture} read
 * @param {{x: number, y: number}} pointer
 * @returns {Promise<"deck"|"comfy"|null>} `null`: cancelled
 */
export function chooseHow(file, read, pointer) {
    const picture = URL.createObjectURL(file)
    return new Promise(done => {
        const answer = (/** @type {"deck"|"comfy"|null} */ way) => {
            box.parentElement?.remove()
            document.removeEventListener("pointerdown", outside, true)
            URL.revokeObjectURL(picture)
            done(way)
        }
        const button = (/** @type {string} */ look, /** @type {string} */ text, /** @type {"deck"|"comfy"|null} */ way) =>
            h(`button.ld-b.ld-b--28${look}`, { type: "button", onClick: () => answer(way) }, text)
        const deck = button(".ld-b--go", t("infotext.deck"), "deck")
        const box = h("div.ld-pop.ld-choose", { role: "dialog", "aria-labelledby": "ld-choose", onKeydown: (/** @type {KeyboardEvent} */ event) => {
            // No key reaches the graph behind it.
            event.stopPropagation()
            if (event.key === "Escape") answer(null)
        } },
        h("div.ld-choose__h", null,
            h("div.ld-pic", null, h("img", { src: picture, alt: "", draggable: false })),
            h("div", null, h("h3", { id: "ld-choose" }, t("infotext.title")), h("p", { title: file.name }, file.name), h("p", null, facts(read)))),
        read.loras.length > 0 && h("ul.ld-found.ld-scroll", { "aria-label": t("infotext.loras") }, read.loras.map(row)),
        h("p.ld-hint", null, t("infotext.why")),
        h("div.ld-choose__go", null, deck, button("", t("infotext.comfy"), "comfy"), button(".ld-b--quiet", t("infotext.cancel"), null)))
        const outside = (/** @type {Event} */ event) => {
            if (!box.contains(/** @type {Node} */ (event.target))) answer(null)
        }
        document.body.append(h("div.ld", { style: { position: "static" } }, box))
        const { width, height } = box.getBoundingClientRect()
        box.style.left = `${Math.max(EDGE, Math.min(pointer.x + EDGE, innerWidth - width - EDGE))}px`
        box.style.top = `${Math.max(EDGE, Math.min(pointer.y + EDGE, innerHeight - height - EDGE))}px`
        document.addEventListener("pointerdown", outside, true)
        deck.focus({ preventScroll: true })
    })
}

/** @param {ReadPicture} read */
function facts({ size, steps, fields }) {
    const sampler = [fields.Sampler, fields["Schedule type"]].filter(text => typeof text === "string").join(" ")
    return [size && `${size[0]} × ${size[1]}`, steps && t("infotext.steps", { steps }), sampler].filter(Boolean).join(" · ")
}

/** @param {ReadPicture["loras"][number]} lora */
function row(lora) {
    const missing = lora.found === "missing"
    const name = lora.name ?? lora.model ?? t("infotext.nameless")
    const hint = lora.written && lora.written !== lora.name ? t("infotext.named", { name: lora.written }) : lora.note
    const weight = lora.unet ?? lora.te
    return h("li", { class: missing ? "is-missing" : "" }, icon(missing ? "find" : "check"),
        h("div", null, h("b", { title: name }, name), !missing && hint && h("span.ld-hint", { title: hint }, hint)),
        h("span.ld-num.ld-muted", null, weight == null ? "" : number(weight)),
        h("span.ld-choose__how", null, t(`infotext.found.${lora.found}`)))
}
