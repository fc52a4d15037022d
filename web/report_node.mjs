/** Shows reports on their nodes after a run, and again after undo, redo and a change of the library. */

import { onEvent } from "./host.mjs?v=0.1.0"
import { showInNode } from "./host_drawing.mjs?v=0.1.0"
import { isRestoring } from "./host_workflow.mjs?v=0.1.0"
import { drawFault, drawReport } from "./report.mjs?v=0.1.0"

/** @typedef {import("./report.mjs").Report} Report */

const APPLY = "LoraStackApply"
const NAME = "$$lora-deck-report"
const MOST = 640

/** @type {Map<string, HTMLElement>} node's id in the prompt → what was drawn last */ const drawn = new Map()
/** @type {Map<string, Report>} */ const reports = new Map()
/** @type {Map<string, string[]>} node's id in the prompt → the LoRAs that it changed */ const named = new Map()

/** @param {string} id of an Apply in the prompt @returns {Report|undefined} of its last run in this page's life */
export const reportOf = id => reports.get(id)

/** @param {string} id of a node in the prompt @returns {string[]|undefined} names of the LoRAs that it changed when it last ran */
export const namesAt = id => named.get(id)

/** @type {Map<string, Record<string, number>>} LoRA's path below its folder → strength per block */ const strengths = new Map()

/** @param {string} path of a LoRA below its folder @returns {Record<string, number>|undefined} by block, as LoraInspect last measured it */
export const strengthsOf = path => strengths.get(path)

/** @param {string} id @param {HTMLElement} element */
function draw(id, element) {
    drawn.set(id, element)
    showInNode(id, APPLY, NAME, element, { most: MOST, grows: true })
}

/** @param {import("./inspect.mjs").Look} look */
function noteStrengths({ loras }) {
    for (const { name, blocks } of loras) strengths.set(name, Object.fromEntries(Object.entries(blocks).map(([id, block]) => [id, block.strength])))
}

/** Called once. @param {() => void} told after each report */
export function watchReports(told) {
    onEvent("executed", ({ node, display_node, output }) => {
        const id = String(display_node ?? node)
        const [report] = /** @type {Report[]} */ (output?.lora_deck_report ?? [])
        const names = /** @type {string[]|undefined} */ (output?.lora_deck_names)
        if (names) named.set(id, names)
        if (report) {
            reports.set(id, report)
            draw(id, drawReport(report))
        }
        const [look] = /** @type {import("./inspect.mjs").Look[]} */ (output?.lora_deck_strength ?? [])
        if (look) noteStrengths(look)
        if (names || report || look) told()
    })
    onEvent("lora-deck.strength", (/** @type {import("./inspect.mjs").Look} */ look) => {
        noteStrengths(look)
        told()
    })
    onEvent("execution_error", ({ node_id, node_type, exception_message }) => {
        if (node_type === APPLY) draw(String(node_id), drawFault(String(exception_message)))
    })
}

/** After the host has loaded a graph: undo and redo make the nodes anew, another workflow has nodes of its own. */
export function redrawReports() {
    if (!isRestoring()) {
        for (const each of [drawn, reports, named, strengths]) each.clear()
        return
    }
    for (const [id, element] of drawn) showInNode(id, APPLY, NAME, element, { most: MOST, grows: false })
}
