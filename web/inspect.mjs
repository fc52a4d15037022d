/**
 * What LoraInspect measured, drawn on the node: a row of bars for each LoRA, and one for each of the pairs that overlap
 * most. The blocks stand in the order of BlockWeight's bars.
 *
 * @typedef {{strength: number, ranks: [number, number]|null, effective: number|null, modules: number}} BlockLook
 * @typedef {{name: string, te: number, unet: number, families: string[], ranks: [number, number]|null, blocks: Record<string, BlockLook>}} LoraLook
 * @typedef {{first: number, second: number, cosine: number, blocks: Record<string, number>}} Overlap
 * @typedef {{architecture: string|null, ids: string[], loras: LoraLook[], overlaps: Overlap[]}} Look
 */

import { onEvent } from "./host.mjs?v=0.1.0"
import { drawInNode } from "./host_drawing.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

const EDGE = 14
const HUES = [300, 145, 60, 230, 10, 100]
const PAIRS = 3
/** Above so many blocks the bars are thin, and every fifth is labelled. */
const MANY = 30

/** @param {string} name @param {Record<string, string|number>} given @param {...(Node|string)} children @returns {SVGElement} */
function s(name, given, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name)
    for (const [key, value] of Object.entries(given)) element.setAttribute(key, String(value))
    element.append(...children)
    return element
}

/** @param {string} id of a block @returns {string} its letters */
const group = id => id.replace(/\d+$/, "")

/** @param {string} name of a file @returns {string} without folder and extension */
const title = name => name.replace(/^.*\//, "").replace(/\.[^.]+$/, "")

/** @param {[number, number]} ranks */
const span = ([low, high]) => (low === high ? String(low) : `${low}–${high}`)

const FAMILIES = { lora: "LoRA", loha: "LoHa", lokr: "LoKr", glora: "GLoRA", ia3: "IA3", oft: "OFT", boft: "BOFT" }

/** @param {string} family as the server names it @returns {string} */
export const familyName = family => family.replace(/^\w+/, word => /** @type {any} */ (FAMILIES)[word] ?? word)

/** @param {number} value @returns {string} with two digits, and no minus before nothing */
const digits = value => (Math.round(value * 100) / 100 + 0).toFixed(2)

/** @param {LoraLook} lora @returns {string} `LoRA · rank 16` */
function kind(lora) {
    const families = lora.families.map(familyName).join(", ")
    return lora.ranks ? `${families} · ${t("inspect.rank", { rank: span(lora.ranks) })}` : families
}

/** @param {string[]} ids @returns {{columns: {id: string, x: number, bar: number, starts: boolean}[], width: number}} */
function layout(ids) {
    const [thin, gap] = ids.length > MANY ? [9, 2] : [22, 4]
    let x = EDGE
    const columns = ids.map((id, k) => {
        const starts = k === 0 || group(ids[k - 1]) !== group(id)
        if (k && starts) x += 12
        // A block that stands alone has room for its name.
        const bar = starts && group(ids[k + 1] ?? "") !== group(id) ? 22 : thin
        const column = { id, x, bar, starts }
        x += bar + gap
        return column
    })
    return { columns, width: Math.max(x - gap + EDGE, 360) }
}

/** @param {BlockLook|undefined} look @param {string} id @returns {string} */
function tip(look, id) {
    if (!look) return t("inspect.none", { block: id })
    const strength = t("inspect.strength", { block: id, value: look.strength.toPrecision(2) })
    if (!look.ranks || look.effective == null) return strength
    return `${strength}\n${t("inspect.effective", { rank: span(look.ranks), effective: look.effective.toFixed(1) })}`
}

/** @param {Look} look @returns {{element: HTMLElement, width: number, height: number}} */
export function drawLook(look) {
    const { columns, width } = layout(look.ids)
    /** @type {SVGElement[]} */ const parts = [s("text", { x: EDGE, y: 20 }, t("inspect.title"))]
    let y = 44
    /** @param {string} name @param {string} more */
    const heading = (name, more) => parts.push(
        s("text", { x: EDGE, y, class: "ld-look__name" }, name),
        s("text", { x: width - EDGE, y, "text-anchor": "end" }, more))
    look.loras.forEach((lora, k) => {
        const peak = Math.max(...Object.values(lora.blocks).map(block => block.strength), 0)
        heading(title(lora.name), kind(lora))
        for (const { id, x, bar } of columns) {
            const block = lora.blocks[id]
            const height = block && peak ? Math.max(1, (block.strength / peak) * 52) : 0
            parts.push(s("g", { "data-block": id },
                s("title", {}, tip(block, id)),
                s("rect", { class: `ld-look__field ${block ? "" : "ld-look__none"}`, x, y: y + 8, width: bar, height: 52, rx: 3 }),
                s("rect", { class: "ld-look__bar", x, y: y + 60 - height, width: bar, height, rx: 3, style: `--h:${HUES[k % HUES.length]}` })))
        }
        y += 88
    })
    const most = [...look.overlaps].sort((a, b) => Math.abs(b.cosine) - Math.abs(a.cosine)).slice(0, PAIRS)
    for (const overlap of most) {
        const [first, second] = [look.loras[overlap.first], look.loras[overlap.second]].map(lora => title(lora.name))
        heading(t("inspect.overlap", { first, second }), t("inspect.cosine", { value: digits(overlap.cosine) }))
        for (const { id, x, bar } of columns) {
            const value = overlap.blocks[id]
            const height = Math.abs(value ?? 0) * 20
            const said = value === undefined ? t("inspect.apart", { block: id }) : `${id}: ${t("inspect.cosine", { value: digits(value) })}`
            parts.push(s("g", { "data-block": id },
                s("title", {}, said),
                s("rect", { class: `ld-look__field ${value === undefined ? "ld-look__none" : ""}`, x, y: y + 8, width: bar, height: 20, rx: 3 }),
                s("rect", { class: "ld-look__bar", x, y: y + 28 - height, width: bar, height, rx: 3, style: "--h:250" })))
        }
        y += 56
    }
    for (const { id, x, bar, starts } of columns) {
        const ending = id.slice(group(id).length) || id
        if (columns.length <= MANY || starts || Number(ending) % 5 === 0) parts.push(s("text", { x: x + bar / 2, y: y - 14, class: "ld-look__id" }, ending))
        // PRE and POST say it themselves.
        if (starts && id !== "PRE" && id !== "POST") parts.push(s("text", { x, y: y + 2 }, t(`inspect.groups.${group(id)}`)))
    }
    const label = look.loras.map(lora => title(lora.name)).join(", ")
    const element = document.createElement("div")
    element.className = "ld ld-look"
    element.append(s("svg", { viewBox: `0 0 ${width} ${y + 14}`, role: "img", "aria-label": t("inspect.label", { names: label }) }, ...parts))
    return { element, width, height: y + 14 }
}

/** Draws whenever a LoraInspect has run, or the host says again what it showed. Called once. */
export function watchLooks() {
    onEvent("executed", ({ node, display_node, output }) => {
        const look = /** @type {Look|undefined} */ (output?.lora_deck_strength?.[0])
        if (!look) return
        const { element, width, height } = drawLook(look)
        drawInNode(String(display_node ?? node), "look", element, width, height / width)
    })
}
