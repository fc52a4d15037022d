/**
 * Every touch of the host's front end. What is used here was checked in front ends 1.47.12 and 1.58.1; the rest of
 * `web/` knows no `app` and no `api`. Nodes and graphs are handed out as they are, but read through this module.
 *
 * @typedef {any} Graph
 * @typedef {any} Node
 * @typedef {any} Widget
 * @typedef {{graph: Graph, node: Node, slot: number}} Socket an output (or, behind a subgraph's edge, its input)
 */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

// What LiteGraph calls the edges of a subgraph in links.
const SUBGRAPH_INPUTS = "-10"
const SUBGRAPH_OUTPUTS = "-20"

/**
 * @param {object} extension hooks and contributions, as `app.registerExtension` takes them
 */
export function registerExtension(extension) {
    app.registerExtension(extension)
}

/**
 * Calls `handler` with the detail of an event that the server or the graph sends.
 *
 * @param {string} name
 * @param {(detail: any) => void} handler
 * @returns {() => void} ends it
 */
export function onEvent(name, handler) {
    const listener = (/** @type {CustomEvent} */ event) => handler(event.detail)
    api.addEventListener(name, listener)
    return () => api.removeEventListener(name, listener)
}

/**
 * @param {string} path below the server's root
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export const request = (path, options) => api.fetchApi(path, options)

/** @param {string} path @returns {string} what an `img` may load */
export const address = path => api.apiURL(path)

/** @param {string} id */
export const setting = id => app.extensionManager.setting.get(id)

/** @param {string} id @param {any} value */
export const setSetting = (id, value) => app.extensionManager.setting.set(id, value)

export const locale = () => String(setting("Comfy.Locale") || "en")

/** @param {"success"|"info"|"warn"|"error"} severity @param {string} summary @param {string} [detail] */
export function toast(severity, summary, detail) {
    app.extensionManager.toast.add({ severity, summary, detail, life: 5000 })
}

/**
 * A tab of the host's sidebar. The host calls `render` with a detached element without height, hands the same element
 * to other tabs, and calls `destroy` only sometimes: so the root leaves by itself when another tab becomes active.
 *
 * @param {{id: string, title: string, tooltip: string, icon: string}} tab
 * @param {() => HTMLElement} makeRoot
 */
export function registerSidebarTab(tab, makeRoot) {
    const { extensionManager } = app
    /** @type {HTMLElement|null} */ let root = null
    const leave = () => {
        root?.remove()
        root = null
    }
    extensionManager.registerSidebarTab({
        ...tab,
        type: "custom",
        render(/** @type {HTMLElement} */ element) {
            leave()
            root = makeRoot()
            element.style.height = "100%"
            element.replaceChildren(root)
        },
        destroy: leave,
    })
    extensionManager.sidebarTab.$subscribe(
        (/** @type {any} */ _, /** @type {any} */ state) => {
            if (state.activeSidebarTabId !== tab.id) leave()
        },
        { flush: "sync" },
    )
}

/** @param {string} id */
export function toggleSidebarTab(id) {
    app.extensionManager.sidebarTab.toggleSidebarTab(id)
}

const tracker = () => app.extensionManager.workflow?.activeWorkflow?.changeTracker ?? null

/** Takes what was changed so far into the undo history. */
function capture() {
    const changes = tracker()
    if (changes?.captureCanvasState) changes.captureCanvasState()
    else changes?.checkState?.()
}

/**
 * Runs `change` as one step of the host's undo history.
 *
 * @template T
 * @param {() => T} change
 * @returns {T}
 */
export function asOneStep(change) {
    capture()
    const changes = tracker()
    changes?.beforeChange()
    try {
        return change()
    } finally {
        changes?.afterChange()
        app.canvas?.setDirty(true, true)
    }
}

/** Takes back the last step. */
export const undo = () => app.extensionManager.command.execute("Comfy.Undo")

/** How many steps can be taken back; changes whenever a step is added. */
export const undoDepth = () => tracker()?.undoQueue?.length ?? 0

// ── graphs ──────────────────────────────────────────────────────────────────────────────────────────────────

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
    if (String(link.origin_id) === SUBGRAPH_INPUTS) {
        const outer = holderOf(graph)
        return outer && deepSourceOf(outer.graph, outer.node, link.origin_slot)
    }
    const from = nodeOf(graph, link.origin_id)
    if (!from?.subgraph) return from ? { graph, node: from, slot: link.origin_slot } : null
    const inner = linkOf(from.subgraph, from.subgraph.outputs?.[link.origin_slot]?.linkIds?.[0])
    const last = inner && nodeOf(from.subgraph, inner.origin_id)
    return last ? { graph: from.subgraph, node: last, slot: inner.origin_slot } : null
}

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
        if (!to?.subgraph) return to ? [{ graph, node: to, slot: link.target_slot }] : []
        return (to.subgraph.inputs?.[link.target_slot]?.linkIds ?? []).flatMap((/** @type {any} */ inside) => {
            const inner = linkOf(to.subgraph, inside)
            const first = inner && nodeOf(to.subgraph, inner.target_id)
            return first ? [{ graph: to.subgraph, node: first, slot: inner.target_slot }] : []
        })
    })
}

/** @param {Graph} subgraph @returns {{graph: Graph, node: Node}|null} the node that stands for a subgraph */
function holderOf(subgraph) {
    for (const graph of allGraphs()) {
        const node = nodesOf(graph).find(n => n.subgraph === subgraph)
        if (node) return { graph, node }
    }
    return null
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

/**
 * Gives link types a colour. Loading a palette blanks every type that the host does not know, in two maps and in
 * inline CSS variables; so the maps get properties that ignore a blank, and the variables stand in a stylesheet.
 *
 * @param {Record<string, string>} colours link type → CSS colour
 */
export function colourLinks(colours) {
    const style = document.createElement("style")
    const rules = Object.entries(colours).map(([type, colour]) => `--color-datatype-${type}: ${colour};`)
    style.textContent = `:root { ${rules.join(" ")} }`
    document.head.append(style)
    const canvas = window.LGraphCanvas
    for (const map of [canvas?.link_type_colors, app.canvas?.default_connection_color_byType]) {
        if (!map) continue
        for (const [type, colour] of Object.entries(colours)) {
            let current = colour
            Object.defineProperty(map, type, {
                configurable: true,
                enumerable: true,
                get: () => current,
                set: value => {
                    current = value || colour
                },
            })
        }
    }
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

/** @returns {Node[]} */
export const selectedNodes = () => Object.values(app.canvas?.selected_nodes ?? {})
