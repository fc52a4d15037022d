/** The checkpoint of the graph, and what it is. */

import { samplersOf } from "./flow.mjs?v=0.1.0"
import { currentGraph, deepSourceOf, inputOfType, nodesOf } from "./host.mjs?v=0.1.0"
import { LibraryError, architecture } from "./library.mjs?v=0.1.0"
import { target } from "./target.mjs?v=0.1.0"

const WIDGETS = ["ckpt_name", "unet_name", "model_name"]
/** @type {Map<string, Promise<string|null>>} */ const known = new Map()

/** @param {any} node @returns {string} the file that a loader names */
const fileOf = node => {
    const gives = (node.outputs ?? []).some((/** @type {any} */ output) => output.type === "MODEL")
    const widget = gives && (node.widgets ?? []).find((/** @type {any} */ w) => WIDGETS.includes(w.name))
    return typeof widget?.value === "string" ? widget.value : ""
}

/** @returns {string} the checkpoint behind the prompt that is meant, else the graph's only one; empty where none can be told */
export function checkpointName() {
    const { field } = target()
    for (const socket of field ? samplersOf(field) : []) {
        let { graph, node } = socket
        const seen = new Set()
        while (!seen.has(node)) {
            seen.add(node)
            const source = deepSourceOf(graph, node, inputOfType(node, "MODEL"))
            if (!source) break
            ;({ graph, node } = source)
            const name = fileOf(node)
            if (name) return name
        }
    }
    const graph = currentGraph()
    const names = new Set(graph ? nodesOf(graph).map(fileOf).filter(Boolean) : [])
    return names.size === 1 ? [...names][0] : ""
}

/** @param {string} name @returns {Promise<string|null>} its architecture, `null` where it is unknown */
export function architectureOf(name) {
    let answer = known.get(name)
    if (!answer) {
        answer = architecture(name).then(
            found => found.architecture,
            error => {
                if (!(error instanceof LibraryError)) throw error
                if (!error.status) known.delete(name)
                return null
            },
        )
        known.set(name, answer)
    }
    return answer
}
