/** Drawings in nodes of the graph, below their inputs; they are no part of the workflow. */

import { app } from "../../scripts/app.js"
import { keepEvents, keepMounted, typeOf } from "./host_canvas.mjs?v=0.1.0"
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

/**
 * Shows an element in a node, as high as it wants to be there, in place of what was shown under the same name.
 *
 * @param {string} id of the node in the prompt
 * @param {string} type that the node must have: the id may mean another node of another workflow by now
 * @param {string} name
 * @param {HTMLElement} element
 * @param {{most: number, grows: boolean}} how `most`: px of height; `grows`: whether the node may become larger for it
 */
export function showInNode(id, type, name, element, { most, grows }) {
    const node = executedNode(id)?.node
    if (!node?.addDOMWidget || typeOf(node) !== type) return
    const height = () => Math.min(most, heightAt(element, node.size[0] - 2 * MARGIN))
    const before = (node.widgets ?? []).find((/** @type {any} */ w) => w.name === name)
    if (!before && !grows && node.size[1] < node.computeSize()[1] + height() + 2 * MARGIN) return
    const widget = before ?? frameIn(node, name)
    widget.ldWanted = height
    widget.element.replaceChildren(element)
    // What another size has made of the node stays its own.
    if (grows) fit(node, widget, before ? node.size[1] - widget.ldHeight : 0)
    else take(widget)
}

/** @param {any} widget gives it the height that it wants */
function take(widget) {
    widget.ldHeight = widget.ldWanted()
    widget.element.style.minHeight = `${widget.ldHeight}px`
}

/** @param {any} node @param {any} widget @param {number} besides px of the node's height that are not the widget's */
function fit(node, widget, besides) {
    take(widget)
    const [width, height] = node.size
    node.setSize([width, Math.max(node.computeSize()[1], besides ? besides + widget.ldHeight : height)])
    app.canvas?.setDirty(true, true)
}

/** @param {any} node @param {string} name @returns {any} a widget with an empty frame, whose folds make the node larger and smaller */
function frameIn(node, name) {
    const frame = document.createElement("div")
    keepEvents(frame)
    const options = { getValue: () => "", setValue: () => {}, hideOnZoom: false, margin: MARGIN, serialize: false, getMinHeight: () => widget.ldHeight + 2 * MARGIN }
    const widget = node.addDOMWidget(name, "LORA_DECK_DRAWING", frame, options)
    widget.serialize = false
    widget.ldHeight = 0
    keepMounted(node, frame, name)
    let besides = 0
    // Where nodes are elements, the node has grown by the time that a fold has opened.
    frame.addEventListener("click", () => {
        besides = node.size[1] - widget.ldHeight
    }, true)
    frame.addEventListener("toggle", () => fit(node, widget, besides), true)
    return widget
}

/** @param {HTMLElement} element @param {number} width px @returns {number} px of height that it takes */
function heightAt(element, width) {
    const copy = /** @type {HTMLElement} */ (element.cloneNode(true))
    copy.style.cssText += `; position: fixed; visibility: hidden; left: 0; top: 0; height: auto; width: ${width}px`
    document.body.append(copy)
    const { height } = copy.getBoundingClientRect()
    copy.remove()
    return Math.ceil(height)
}
