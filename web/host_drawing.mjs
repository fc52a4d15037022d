/** A drawing in a node of the graph, below its inputs; it is no part of the workflow. */

import { app } from "../../scripts/app.js"
import { executedNode } from "./host_workflow.mjs?v=0.1.0"

const MARGIN = 10

/**
 * Shows an element in a node, in place of what was shown there under the same name.
 *
 * @param {string} id of the node in the prompt
 * @param {string} name
 * @param {HTMLElement} element
 * @param {number} width that the element needs, in graph units
 * @param {number} ratio its height by its width
 */
export function drawInNode(id, name, element, width, ratio) {
    const node = executedNode(id)?.node
    if (!node?.addDOMWidget) return
    let widget = (node.widgets ?? []).find((/** @type {any} */ w) => w.name === name)
    if (!widget) {
        const frame = document.createElement("div")
        const options = {
            getValue: () => "", setValue: () => {}, hideOnZoom: false, margin: MARGIN, serialize: false,
            getMinHeight: () => Math.max(node.size[0] - 2 * MARGIN, 40) * widget.ldRatio + 2 * MARGIN,
        }
        widget = node.addDOMWidget(name, "LORA_DECK_DRAWING", frame, { ...options })
        // Nothing of it goes into the workflow, whose widgets are stored by their place.
        widget.serialize = false
    }
    widget.ldRatio = ratio
    widget.element.replaceChildren(element)
    const wide = Math.max(node.size[0], width + 2 * MARGIN)
    node.setSize([wide, node.size[1]])
    node.setSize([wide, Math.max(node.size[1], node.computeSize()[1])])
    app.canvas?.setDirty(true, true)
}
