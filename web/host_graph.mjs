/**
 * The host's graphs: nodes, links through the edges of subgraphs, places on the canvas, and the texts of prompts.
 *
 * @typedef {any} Graph
 * @typedef {any} Node
 * @typedef {any} Widget
 * @typedef {{graph: Graph, node: Node, slot: number}} Socket an output (or, behind a subgraph's edge, its input)
 */

import { app } from "../../scripts/app.js"

// What LiteGraph calls the edges of a subgraph in links.
const SUBGRAPH_INPUTS = "-10"
const SUBGRAPH_OUTPUTS = "-20"

/** @returns {Graph|null} the graph on the canvas */
export const currentGraph = () => app.canvas?.graph ?? null

/** @returns {Graph[]} the root graph and every subgraph of the workflow */
export function allGraphs() {
    const root = app.rootGraph ?? app.graph
    return root ? [root, ...(root.subgraphs?.values() ?? [])] : []
}

/** @param {Graph} graph @returns {string} */
export const graphId = graph => String(graph.id ?? "root")

/** @param {Graph} graph @returns {Node[]} */
export const nodesOf = graph => graph.nodes ?? graph._nodes ?? []

/** @param {Graph} graph @param {string} id @returns {Node|null} */
export const nodeOf = (graph, id) => nodesOf(graph).find(node => String(node.id) === String(id)) ?? null

/** @returns {Node[]} */
export const selectedNodes = () => Object.values(app.canvas?.selected_nodes ?? {})

/** @param {Node} node @returns {boolean} muted or bypassed */
export const isOff = node => node.mode === 2 || node.mode === 4

/** @param {Node} node @param {string} type @returns {number} slot of the first input of this type, -1 for none */
export const inputOfType = (node, type) => (node.inputs ?? []).findIndex((/** @type {any} */ i) => i.type === type)

/** @param {Node} node @param {string} name @returns {number} */
export const inputNamed = (node, name) => (node.inputs ?? []).findIndex((/** @type {any} */ i) => i.name === name)

/** @param {Graph} graph @param {any} id */
const linkOf = (graph, id) => (id == null ? null : (graph.getLink?.(id) ?? graph.links?.get?.(id) ?? graph.links?.[id]))

/** @param {Graph} graph @param {Node} node @param {number} slot @returns {boolean} */
export const isLinked = (graph, node, slot) => slot >= 0 && linkOf(graph, node.inputs[slot].link) != null

/**
 * Where an input's value comes from, in the same graph.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Socket|null} `null` where nothing is linked, or where the link comes from a subgraph's edge
 */
export function sourceOf(graph, node, slot) {
    const link = slot < 0 ? null : linkOf(graph, node.inputs[slot]?.link)
    const from = link && nodeOf(graph, link.origin_id)
    return from ? { graph, node: from, slot: link.origin_slot } : null
}

/**
 * As `sourceOf`, through the edges of subgraphs in both directions.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Socket|null}
 */
export function deepSourceOf(graph, node, slot) {
    const link = slot < 0 ? null : linkOf(graph, node.inputs[slot]?.link)
    if (!link) return null
    const edge = edgeOf(graph, node, slot)
    if (edge) return deepSourceOf(edge.graph, edge.node, edge.slot)
    const from = nodeOf(graph, link.origin_id)
    return from && leave({ graph, node: from, slot: link.origin_slot })
}

/** @param {Socket} output of any node @returns {Socket|null} itself, or what gives it inside a subgraph */
function leave({ graph, node, slot }) {
    if (!node.subgraph) return { graph, node, slot }
    const link = linkOf(node.subgraph, node.subgraph.outputs?.[slot]?.linkIds?.[0])
    const last = link && nodeOf(node.subgraph, link.origin_id)
    return last ? leave({ graph: node.subgraph, node: last, slot: link.origin_slot }) : null
}

/**
 * The input of a subgraph that an input inside it is linked to.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Socket|null} the subgraph's node and its input's slot; `null` where nothing comes from the edge
 */
export function edgeOf(graph, node, slot) {
    const link = slot < 0 ? null : linkOf(graph, node.inputs[slot]?.link)
    const outer = link && String(link.origin_id) === SUBGRAPH_INPUTS ? holderOf(graph) : null
    return outer && { ...outer, slot: link.origin_slot }
}

/**
 * The inputs that a subgraph's input is linked to inside it.
 *
 * @param {Graph} subgraph
 * @param {number} slot
 * @returns {Socket[]}
 */
export function insideOf(subgraph, slot) {
    return (subgraph.inputs?.[slot]?.linkIds ?? []).flatMap((/** @type {any} */ id) => {
        const link = linkOf(subgraph, id)
        const node = link && nodeOf(subgraph, link.target_id)
        return node ? [{ graph: subgraph, node, slot: link.target_slot }] : []
    })
}

/** @param {Socket} input of any node @returns {Socket[]} itself, or what it is linked to inside a subgraph */
export const enter = input =>
    input.node.subgraph ? insideOf(input.node.subgraph, input.slot).flatMap(enter) : [input]

/** @param {Graph} subgraph @param {number} slot of its input @param {Node} node @param {number} to */
export const connectEdge = (subgraph, slot, node, to) => void subgraph.inputs[slot].connect(node.inputs[to], node)

/**
 * The inputs that an output is linked to, in the same graph.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Socket[]}
 */
export function targetsOf(graph, node, slot) {
    return (node.outputs?.[slot]?.links ?? []).flatMap((/** @type {any} */ id) => {
        const link = linkOf(graph, id)
        const to = link && nodeOf(graph, link.target_id)
        return to ? [{ graph, node: to, slot: link.target_slot }] : []
    })
}

/**
 * As `targetsOf`, through the edges of subgraphs in both directions.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Socket[]}
 */
export function deepTargetsOf(graph, node, slot) {
    return (node.outputs?.[slot]?.links ?? []).flatMap((/** @type {any} */ id) => {
        const link = linkOf(graph, id)
        if (!link) return []
        if (String(link.target_id) === SUBGRAPH_OUTPUTS) {
            const outer = holderOf(graph)
            return outer ? deepTargetsOf(outer.graph, outer.node, link.target_slot) : []
        }
        const to = nodeOf(graph, link.target_id)
        return to ? enter({ graph, node: to, slot: link.target_slot }) : []
    })
}

/** @param {Graph} subgraph @returns {{graph: Graph, node: Node}|null} the node that stands for a subgraph */
export function holderOf(subgraph) {
    for (const graph of allGraphs()) {
        const node = nodesOf(graph).find(n => n.subgraph === subgraph)
        if (node) return { graph, node }
    }
    return null
}

/** @param {Graph} graph @param {Node} node @returns {string} its id in a prompt, such as `3:12` for node 12 in the subgraph node 3 */
export function promptId(graph, node) {
    const outer = graph !== allGraphs()[0] ? holderOf(graph) : null
    return outer ? `${promptId(outer.graph, outer.node)}:${node.id}` : String(node.id)
}

/**
 * Adds a node to a graph.
 *
 * @param {Graph} graph
 * @param {string} type
 * @param {[number, number]} place
 * @returns {Node}
 */
export function addNode(graph, type, place) {
    const node = window.LiteGraph.createNode(type)
    if (!node) throw new Error(`ComfyUI knows no node ${type}`)
    node.pos = place
    graph.add(node)
    return node
}

/** @param {string} type @param {string} name @returns {string[]} what a combo of a node offers */
export function optionsOf(type, name) {
    const widget = window.LiteGraph.createNode(type)?.widgets?.find((/** @type {Widget} */ w) => w.name === name)
    const values = widget?.options?.values
    return (typeof values === "function" ? values() : (values ?? [])).map(String)
}

/** @param {Node} node @param {string} name of a widget @param {any} value */
export function setWidget(node, name, value) {
    const widget = node.widgets?.find((/** @type {Widget} */ w) => w.name === name)
    if (!widget) return
    widget.value = value
    widget.callback?.(value)
}

/** @param {string} type @returns {{title: string, size: [number, number]}} of a node that is not made yet */
export function nodeLooks(type) {
    const node = window.LiteGraph.createNode(type)
    return { title: node.title, size: [node.size[0], node.size[1]] }
}

/** @param {Node} node @returns {[number, number, number, number]} x, y, width, height with its title */
export function boxOf(node) {
    const title = window.LiteGraph.NODE_TITLE_HEIGHT ?? 30
    return [node.pos[0], node.pos[1] - title, node.size[0], (node.flags?.collapsed ? 0 : node.size[1]) + title]
}

/** @param {[number, number, number, number]} box in graph units @returns {DOMRect} in the window */
export function boxOnScreen([x, y, width, height]) {
    const { scale, offset } = app.canvas.ds
    const canvas = app.canvas.canvas.getBoundingClientRect()
    return new DOMRect(canvas.x + (x + offset[0]) * scale, canvas.y + (y + offset[1]) * scale, width * scale, height * scale)
}

/** Moves the view so that boxes are seen, no larger than life. @param {[number, number, number, number][]} boxes in graph units */
export function showBoxes(boxes) {
    const [left, top] = [Math.min(...boxes.map(([x]) => x)), Math.min(...boxes.map(([, y]) => y))]
    const [right, bottom] = [Math.max(...boxes.map(([x, , w]) => x + w)), Math.max(...boxes.map(([, y, , h]) => y + h))]
    const { width, height } = app.canvas.canvas.getBoundingClientRect()
    const { ds } = app.canvas
    ds.scale = Math.min(1, (width - 120) / (right - left), (height - 120) / (bottom - top))
    ds.offset[0] = width / 2 / ds.scale - (left + right) / 2
    ds.offset[1] = height / 2 / ds.scale - (top + bottom) / 2
    app.canvas.setDirty(true, true)
}

// ── prompt texts ────────────────────────────────────────────────────────────────────────────────────────────

/** @param {Widget} widget @returns {boolean} whether a prompt may stand in it */
export const isText = widget =>
    typeof widget.value === "string" && (widget.type === "customtext" || widget.options?.multiline === true)

/** @param {Node} node @returns {Widget[]} */
export const textWidgets = node => (node.widgets ?? []).filter(isText)

/** @param {Widget} widget @returns {HTMLTextAreaElement|null} */
const ownElement = widget => (widget.element instanceof HTMLTextAreaElement ? widget.element : null)

/**
 * The node and widget behind a text area, in both ways of drawing nodes and in the panel at the right.
 *
 * @param {EventTarget|null} element
 * @returns {{graph: Graph, node: Node, widget: Widget}|null}
 */
export function widgetOf(element) {
    const graph = currentGraph()
    if (!(element instanceof HTMLTextAreaElement) || !graph) return null
    for (const node of nodesOf(graph)) {
        for (const widget of textWidgets(node)) if (ownElement(widget) === element) return { graph, node, widget }
    }
    const id = element.closest("[data-node-id]")?.getAttribute("data-node-id")
    const label = element.labels?.[0]?.textContent?.trim() || element.getAttribute("aria-label") || ""
    const among = id ? [nodeOf(graph, id)] : [...(app.canvas.selectedItems ?? [])]
    for (const node of among) {
        const found = textWidgets(node ?? {})
        const widget = found.find(w => (w.label || w.name) === label) ?? found.find(w => w.value === element.value)
        if (widget) return { graph, node, widget }
    }
    return null
}

/** @param {Node} node @param {Widget} widget @returns {HTMLTextAreaElement|null} its text area, where one can be typed in */
export function elementOf(node, widget) {
    const usable = (/** @type {Element|null} */ e) => e instanceof HTMLTextAreaElement && e.checkVisibility() && !e.readOnly
    const own = ownElement(widget)
    if (usable(own)) return own
    for (const area of document.querySelectorAll(`[data-node-id="${CSS.escape(String(node.id))}"] textarea`)) {
        if (usable(area) && widgetOf(area)?.widget === widget) return /** @type {HTMLTextAreaElement} */ (area)
    }
    return null
}

/**
 * Replaces part of a widget's text: as if typed, where its text area can be focused, so that the browser's own undo
 * knows it; else by value.
 *
 * @param {Node} node
 * @param {Widget} widget
 * @param {number} start
 * @param {number} end
 * @param {string} text
 */
export function replaceText(node, widget, start, end, text) {
    if (start === end && !text) return
    document.addEventListener("keydown", leaveStepsToTheHost, true)
    writing = true
    try {
        write(node, widget, start, end, text)
    } finally {
        writing = false
    }
}

/** Whether a text is being replaced by the deck: focus and input events of that moment are not the user's. */
export const isWriting = () => writing

let writing = false

/**
 * Outside a text the host takes the graph's last step back. The browser, whose history is the whole page's, would take back
 * what was last written in some text, too, and on redo go into it.
 *
 * @param {KeyboardEvent} event
 */
function leaveStepsToTheHost(event) {
    const [at] = event.composedPath()
    const typing = at instanceof HTMLElement && (at.isContentEditable || at.matches("input, textarea"))
    if ((event.ctrlKey || event.metaKey) && /^[zy]$/i.test(event.key) && !typing) event.preventDefault()
}

/** @param {Node} node @param {Widget} widget @param {number} start @param {number} end @param {string} text */
function write(node, widget, start, end, text) {
    const area = elementOf(node, widget)
    const before = document.activeElement
    if (area && area.value === widget.value) {
        area.focus({ preventScroll: true })
        area.setSelectionRange(start, end)
        const typed = document.execCommand(text ? "insertText" : "delete", false, text)
        if (before instanceof HTMLElement && before !== document.body && before.isConnected) before.focus({ preventScroll: true })
        else area.blur()
        if (typed) return
    }
    widget.value = widget.value.slice(0, start) + text + widget.value.slice(end)
    widget.callback?.(widget.value)
}
