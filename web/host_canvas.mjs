/**
 * Every touch of the host's canvas and nodes that widgets and drags need; `host.mjs` has the rest. Checked in front ends
 * 1.47.12 and 1.58.1, classic and Nodes 2.0. What a front end lacks is left out, so that nodes load without it.
 *
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./host.mjs").Widget} Widget
 */

import { app } from "../../scripts/app.js"

/** Px that the host leaves around an element in a node, where it draws nodes on the canvas. */
const MARGIN = 10

/**
 * @template V
 * @typedef {object} Part what a widget in a node is made of
 * @property {HTMLElement} element
 * @property {() => V} get
 * @property {(value: any) => void} set also called when a workflow is loaded
 * @property {() => number} minHeight px
 * @property {number} [minWidth] px
 */

/**
 * The host's map of widget types, for the extension's `getCustomWidgets`.
 *
 * @param {Record<string, (node: Node, name: string) => {part: Part<any>, ready: (widget: Widget) => void}>} types
 */
export const customWidgets = types =>
    Object.fromEntries(Object.entries(types).map(([type, make]) => [type, (/** @type {Node} */ node, /** @type {string} */ name) => {
        const { part, ready } = make(node, name)
        const widget = placeElement(node, name, type, part)
        ready(widget)
        return { widget, minWidth: part.minWidth ?? 0, minHeight: part.minHeight() }
    }]))

/**
 * Puts an element into a node, as a widget of its own.
 *
 * @param {Node} node
 * @param {string} name
 * @param {string} type
 * @param {Part<any>} part
 * @returns {Widget}
 */
export function placeElement(node, name, type, { element, get, set, minHeight }) {
    keepEvents(element)
    const options = { getValue: get, setValue: set, getMinHeight: () => minHeight() + 2 * MARGIN, hideOnZoom: false, margin: MARGIN }
    const widget = node.addDOMWidget(name, type, element, options)
    keepMounted(node, element, name)
    return widget
}

/** Of an element in a node no key reaches the graph; its wheel scrolls it, or else zooms. @param {HTMLElement} element */
export function keepEvents(element) {
    element.addEventListener("keydown", event => event.stopPropagation())
    element.addEventListener("wheel", event => {
        const scroller = event.target instanceof Element ? event.target.closest(".ld-scroll") : null
        if (!event.ctrlKey && scroller && scroller.scrollHeight > scroller.clientHeight) event.stopPropagation()
        else if (!element.closest("[data-node-id]")) {
            event.preventDefault()
            app.canvas?.processMouseWheel?.(event)
        }
    }, { passive: false })
}

/**
 * Nodes 2.0 keeps the component of a node when undo or a load makes a node of the same id, and with it the element of the
 * widget that is gone. So elements that should be seen and are not take the place of those.
 *
 * @type {Set<{node: WeakRef<Node>, element: WeakRef<HTMLElement>, name: string}>}
 */
const placed = new Set()
const LOOKS_MS = [0, 60, 250, 800]

/** @param {Node} node @param {HTMLElement} element @param {string} name of the widget that shows it */
export function keepMounted(node, element, name) {
    element.dataset.ldWidget = name
    placed.add({ node: new WeakRef(node), element: new WeakRef(element), name })
    remountSoon()
}

/** After whatever may have made nodes anew. */
export function remountSoon() {
    for (const ms of LOOKS_MS) setTimeout(remount, ms)
}

/** Begins to watch for what makes nodes anew without telling. Called once the canvas is there. */
export function watchMounts() {
    app.canvas?.canvas?.addEventListener("litegraph:set-graph", remountSoon)
}

function remount() {
    for (const each of placed) {
        const [node, element] = [each.node.deref(), each.element.deref()]
        if (!node || !element) placed.delete(each)
        else if (!element.isConnected && app.canvas?.graph?.getNodeById(node.id) === node) {
            const box = document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"]`)
            const stale = box?.querySelector(`[data-ld-widget="${CSS.escape(each.name)}"]`)
            if (stale) stale.replaceWith(element)
            else if (box) emptyPlace(box, node, element)?.append(element)
        }
    }
}

/** @param {Element} box of a subgraph's node @param {Node} node @param {HTMLElement} element @returns {Element|null|undefined} where its widget was drawn before it had an element */
function emptyPlace(box, node, element) {
    const slot = (node.inputs ?? []).findIndex((/** @type {any} */ input) => input._widget?.element === element)
    const place = box.querySelector(`[data-slot-key="${CSS.escape(String(node.id))}-in-${slot}"]`)?.closest("[data-testid=node-widget]")?.lastElementChild
    return place?.childElementCount === 0 ? place : null
}

/** @param {Node} node @param {number} by px that its content grew or shrank */
export function growNode(node, by) {
    const least = node.computeSize?.()?.[1] ?? 0
    node.setSize([node.size[0], Math.max(least, node.size[1] + by)])
}

/** @param {Node} node @param {number} width px, at least */
export function widen(node, width) {
    if (node.size[0] < width) node.setSize([width, node.size[1]])
}

/**
 * Entries in the menu of a type of node.
 *
 * @param {Node} node
 * @returns {string} the node's type as the server names it
 */
export const typeOf = node => String(node.comfyClass ?? node.type ?? "")

// ── where a drag is ─────────────────────────────────────────────────────────────────────────────────────────

/** Whether the graph that is shown may be changed by hand. */
export const canEdit = () => Boolean(app.canvas?.graph) && !app.canvas.read_only && !app.canvas.selectOnly

/** @returns {DOMRect} what is seen of the canvas, in the window */
export function viewOfCanvas() {
    const whole = app.canvas.canvas.getBoundingClientRect()
    const side = document.querySelector("lora-deck")?.getBoundingClientRect()
    if (!side || side.right <= whole.left || side.left >= whole.right) return whole
    const onLeft = side.left + side.width / 2 < whole.left + whole.width / 2
    const [left, right] = onLeft ? [Math.max(whole.left, side.right), whole.right] : [whole.left, Math.min(whole.right, side.left)]
    return new DOMRect(left, whole.top, right - left, whole.height)
}

/** @param {number} x @param {number} y in the window @returns {[number, number]} in the graph */
export function graphPlace(x, y) {
    const [left, top] = app.canvas.convertEventToCanvasOffset({ clientX: x, clientY: y })
    return [left, top]
}

/**
 * @param {Element|null} element under the pointer
 * @param {number} x in the window
 * @param {number} y in the window
 * @returns {Node|null|undefined} the node there, `null` for empty canvas, `undefined` off the canvas
 */
export function nodeAt(element, x, y) {
    const { canvas } = app
    const id = element?.closest("[data-node-id]")?.getAttribute("data-node-id")
    if (id) return canvas.graph.getNodeById(id) ?? undefined
    if (!element || !(element === canvas.canvas || element.closest("#graph-canvas, .dom-widget, [data-testid=transform-pane]"))) return undefined
    const [left, top] = graphPlace(x, y)
    return canvas.graph.getNodeOnPos(left, top, canvas.visible_nodes) ?? null
}

/** @param {HTMLTextAreaElement} area @param {number} x @param {number} y in the window @returns {number} place in its text */
export function caretAt(area, x, y) {
    const found = /** @type {any} */ (document).caretPositionFromPoint?.(x, y)
    return found?.offsetNode === area ? found.offset : area.value.length
}

/** @param {Widget} widget @returns {string[]} what a combo offers */
export function choicesOf(widget) {
    const values = widget.options?.values
    const list = typeof values === "function" ? values(widget) : values
    return Array.isArray(list) ? list.filter(each => typeof each === "string") : []
}

/**
 * Gives an input's link to another input, wherever it comes from: a node, or the edge of a subgraph.
 *
 * @param {import("./host.mjs").Graph} graph
 * @param {Node} from
 * @param {number} slot
 * @param {Node} to
 * @param {number} toSlot
 */
export function moveLink(graph, from, slot, to, toSlot) {
    const id = from.inputs[slot]?.link
    const link = id == null ? null : (graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id])
    if (!link) return
    const source = graph.getNodeById(link.origin_id)
    if (source) source.connect(link.origin_slot, to, toSlot)
    else graph.inputNode?.slots?.[link.origin_slot]?.connect(to.inputs[toSlot], to)
}

/** @param {Node} node makes it as high as its content wants */
export function fitNode(node) {
    const [width, height] = node.computeSize()
    node.setSize([Math.max(node.size[0], width), height])
}
