/**
 * Widgets of the pack that the node of a subgraph shows for a node inside it. The host gives them their value there, which
 * is the one that counts, but draws texts and numbers only. Checked in front end 1.47.12; elsewhere nothing is drawn.
 *
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./host.mjs").Widget} Widget
 */

import { placeElement } from "./host_canvas.mjs?v=0.1.0"
import { allGraphs, enter, nodesOf } from "./host_graph.mjs?v=0.1.0"

/** @typedef {(node: Node, name: string) => {part: import("./host_canvas.mjs").Part<any>, ready: (widget: Widget) => void}} Make */

/** @param {Record<string, Make>} types as for `customWidgets` */
export function placePromoted(types) {
    for (const graph of allGraphs()) for (const node of nodesOf(graph)) {
        if (!node.subgraph || !node.getWidgetFromSlot) continue
        for (const [slot, input] of (node.inputs ?? []).entries()) {
            const valued = input.widgetId ? node.getWidgetFromSlot(input) : null
            const make = valued && !valued.element ? types[valued.type] : undefined
            if (make) place(graph, node, slot, valued, make)
        }
    }
}

/** @param {any} graph @param {Node} node @param {number} slot @param {Widget} valued that holds the value @param {Make} make */
function place(graph, node, slot, valued, make) {
    const input = node.inputs[slot]
    const [inner] = enter({ graph, node, slot })
    if (!inner) return
    const { part, ready } = make(node, input.name)
    const set = (/** @type {any} */ value) => {
        valued.value = value
        part.set(value)
    }
    part.set(valued.value)
    const widget = placeElement(node, input.name, valued.type, { ...part, get: () => valued.value, set })
    input._widget = widget
    ready(widget)
}
