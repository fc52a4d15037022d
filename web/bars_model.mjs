/** Which model's blocks a `BlockWeight` is about: of the Apply downstream, as it reported them or as its checkpoint's header says. */

import { blockLayoutOf } from "./block_layouts.mjs?v=0.1.0"
import { deepSourceOf, deepTargetsOf, inputOfType } from "./host.mjs?v=0.1.0"
import { LibraryError, blocksOf } from "./library.mjs?v=0.1.0"

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

/** @param {Node} node @returns {Promise<import("./bars.mjs").Blocks|null>} */
export async function blocksBehind(node) {
    const apply = node.graph ? applyBehind(node) : null
    if (!apply) return null
    const told = blockLayoutOf(String(apply.id))
    if (told?.ids.length) return { ids: told.ids, title: told.architecture ?? "" }
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
