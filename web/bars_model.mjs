/** Which model's blocks a `BlockWeight` is about: of the Apply downstream, as it reported them or as its checkpoint's header says. */

import { deepSourceOf, deepTargetsOf, enter, inputOfType, promptId } from "./host.mjs?v=0.1.0"
import { LibraryError, blocksOf } from "./library.mjs?v=0.1.0"
import { meaningOf } from "./meanings.mjs?v=0.1.0"
import { namesAt, reportOf, strengthsOf } from "./report_node.mjs?v=0.1.0"

/** @typedef {import("./host.mjs").Node} Node */

const WIDGETS = ["ckpt_name", "unet_name", "model_name"]
/** @type {Map<string, Promise<string[]>>} */ const known = new Map()

/** @param {string} name @returns {Promise<string[]>} */
function idsOf(name) {
    let answer = known.get(name)
    if (!answer) {
        answer = blocksOf(name).then(({ ids }) => ids, error => {
            if (!(error instanceof LibraryError)) throw error
            known.delete(name)
            return []
        })
        known.set(name, answer)
    }
    return answer
}

/** @param {Node} node @returns {Node|null} the Apply that its stack reaches */
function applyBehind(node) {
    const seen = new Set([node])
    for (const at of seen) {
        if (at !== node && inputOfType(at, "MODEL") >= 0) return at
        for (const slot of (at.outputs ?? []).keys())
            if (at.outputs[slot].type === "LORA_DECK_STACK") for (const to of deepTargetsOf(at.graph, at, slot)) seen.add(to.node)
    }
    return null
}

/** @param {Node} node @returns {Node} the one inside, where the node of a subgraph shows its bars */
function innermost(node) {
    const slot = node.subgraph ? node.inputs.findIndex((/** @type {any} */ input) => input._widget?.type === "LORA_DECK_BLOCKS") : -1
    return slot < 0 ? node : (enter({ graph: node.graph, node, slot })[0]?.node ?? node)
}

/** @param {Node} shown that has the bars @returns {Promise<import("./bars.mjs").Blocks|null>} */
export async function blocksBehind(shown) {
    const node = innermost(shown)
    const apply = node.graph ? applyBehind(node) : null
    if (!apply) return null
    const report = reportOf(promptId(apply.graph, apply))
    const names = namesAt(promptId(node.graph, node))
    const found = report?.ids.length ? { ids: report.ids, title: report.architecture ?? "" } : await fromCheckpoint(apply)
    return found && { ...found, ...(names ? await about(names, report) : {}) }
}

/** @param {Node} apply @returns {Promise<import("./bars.mjs").Blocks|null>} */
async function fromCheckpoint(apply) {
    let [graph, at] = [apply.graph, apply]
    for (const seen = new Set(); !seen.has(at); ) {
        seen.add(at)
        const source = deepSourceOf(graph, at, inputOfType(at, "MODEL"))
        if (!source) return null
        ;({ graph, node: at } = source)
        const file = (at.widgets ?? []).find((/** @type {any} */ widget) => WIDGETS.includes(widget.name))?.value
        if (typeof file === "string" && file) {
            const ids = await idsOf(file)
            return ids.length ? { ids, title: file.replace(/^.*[\\/]/, "").replace(/\.\w+$/, "") } : null
        }
    }
    return null
}

/** Bars have one for all text encoders. @param {string} block */
const barOf = block => (block === "CLIP" || block === "T5" ? "BASE" : block)

/**
 * What is known of LoRAs, block by block.
 *
 * @param {string[]} names
 * @param {import("./report.mjs").Report|undefined} report of the Apply that they reach
 * @returns {Promise<{changed?: Set<string>, strength?: Record<string, number>}>}
 */
export async function about(names, report) {
    const cards = await Promise.all(names.map(async name => (await meaningOf(name)).card))
    const paths = new Set(cards.flatMap(card => (card ? [card.name] : [])))
    const files = report?.files.filter(file => paths.has(file.name) && file.modules) ?? []
    /** @type {Record<string, number>} */ const strength = {}
    for (const path of paths) for (const [block, value] of Object.entries(strengthsOf(path) ?? {})) strength[barOf(block)] = Math.hypot(strength[barOf(block)] ?? 0, value)
    const peak = Math.max(...Object.values(strength), 0)
    for (const block of Object.keys(strength)) strength[block] /= peak || 1
    return {
        ...(files.length ? { changed: new Set(files.flatMap(file => file.in_blocks.map(barOf))) } : {}),
        ...(peak ? { strength } : {}),
    }
}
