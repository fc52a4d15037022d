/** Workflows as the host loads, saves, exports and queues them, and what it shows on their nodes. */

import { app } from "../../scripts/app.js"
import { allGraphs, graphId, nodeOf } from "./host_graph.mjs?v=0.1.0"

const tracker = () => app.extensionManager.workflow?.activeWorkflow?.changeTracker ?? null

/** Whether the host restores an earlier state of the graph: undo and redo load it as if it were opened. */
export const isRestoring = () => Boolean(tracker()?._restoringState)

/** The workflow as it would be saved now. @returns {any} */
export const workflowNow = () => JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()))

/**
 * Calls `prepare` with a prompt and its workflow before the host queues or exports it, and before it saves one; the
 * host goes on when it is done.
 *
 * @param {(made: {workflow: any, output: Record<string, any>}) => Promise<void>} prepare must not throw
 */
export function beforeLeaving(prepare) {
    const make = app.graphToPrompt
    app.graphToPrompt = async function (/** @type {any[]} */ ...given) {
        const made = await make.apply(this, given)
        await prepare(made)
        return made
    }
    const store = app.extensionManager.workflow
    const save = store?.saveWorkflow
    if (typeof save !== "function") return
    store.saveWorkflow = async (/** @type {any} */ workflow, /** @type {any[]} */ ...more) => {
        // What is saved is the state that the host has just taken; `prepare` writes into that too.
        if (workflow === store.activeWorkflow || workflow?.path === store.activeWorkflow?.path) await prepare(await make.call(app))
        return save.call(store, workflow, ...more)
    }
}

/**
 * The node behind an id of a prompt, such as `3:12` for node 12 in the subgraph node 3.
 *
 * @param {string} id
 * @returns {{graph: any, node: any}|null}
 */
export function executedNode(id) {
    let graph = app.rootGraph ?? app.graph
    let node = null
    for (const part of id.split(":")) {
        if (node) graph = node.subgraph
        node = graph && nodeOf(graph, part)
        if (!node) return null
    }
    return { graph, node }
}

/** @param {any} workflow @param {any} graph @param {any} node @returns {any} the node as it is written in a workflow */
function written(workflow, graph, node) {
    const root = graph === (app.rootGraph ?? app.graph)
    const holder = root ? workflow : workflow?.definitions?.subgraphs?.find((/** @type {any} */ s) => s.id === graphId(graph))
    return holder?.nodes?.find((/** @type {any} */ n) => String(n.id) === String(node.id))
}

/** What the host compares the graph with, and what it saves. */
const states = () => [...new Set([tracker()?.activeState, tracker()?.initialState].filter(Boolean))]

/**
 * Sets a value that nobody sees without a step in the undo history, and in the workflow that is on its way.
 *
 * @param {{graph: any, node: any}} where
 * @param {string} name of the widget
 * @param {string} value
 * @param {any} workflow
 */
export function setUnseen({ graph, node }, name, value, workflow) {
    const index = (node.widgets ?? []).findIndex((/** @type {any} */ w) => w.name === name)
    if (index < 0) return
    node.widgets[index].value = value
    for (const state of [workflow, ...states()]) {
        const copy = written(state, graph, node)
        if (Array.isArray(copy?.widgets_values) && copy.widgets_values.length > index) copy.widgets_values[index] = value
        if (copy?.widgets_values_named && name in copy.widgets_values_named) copy.widgets_values_named[name] = value
    }
}

/** @returns {any} what the workflow keeps for the pack */
export const extraOfWorkflow = () => (app.rootGraph ?? app.graph)?.extra?.lora_deck ?? {}

/** As `setUnseen`, in what the workflow keeps for the pack. @param {any} value @param {any} workflow */
export function setExtra(value, workflow) {
    const graph = app.rootGraph ?? app.graph
    for (const holder of [graph, workflow, ...states()]) if (holder) holder.extra = { ...holder.extra, lora_deck: value }
}

/**
 * Writes values into the nodes of the open workflow.
 *
 * @param {{graph: string, node: string, index: number|string, value: any}[]} changes
 */
export function writeValues(changes) {
    for (const { graph: id, node: nodeId, index, value } of changes) {
        const node = nodeAt(id, nodeId)
        const widget = typeof index === "number" ? node?.widgets?.[index] : node?.widgets?.find((/** @type {any} */ w) => w.name === index)
        if (!widget) continue
        widget.value = value
        widget.callback?.(value)
    }
}

/** @param {string} id of a subgraph, empty for the workflow itself @param {string} node */
function nodeAt(id, node) {
    const graph = id ? allGraphs().find(g => graphId(g) === id) : (app.rootGraph ?? app.graph)
    return graph ? nodeOf(graph, node) : null
}

/** Brings a node into view and selects it. @param {string} graph @param {string} node */
export function showNode(graph, node) {
    const found = nodeAt(graph, node)
    if (!found) return
    if (app.canvas.graph !== found.graph) app.canvas.setGraph?.(found.graph)
    app.canvas.centerOnNode?.(found)
    app.canvas.selectNode?.(found)
}

/** @type {WeakMap<any, () => any>} */ const marks = new WeakMap()

/**
 * Puts a badge on a node, in both ways of drawing nodes, or takes it away.
 *
 * @param {string} graph
 * @param {string} id
 * @param {string|null} text
 */
export function markNode(graph, id, text) {
    const node = nodeAt(graph, id)
    if (!node) return
    const before = node.badges ?? []
    const others = before.filter((/** @type {any} */ badge) => badge !== marks.get(node))
    const found = () => others.map((/** @type {any} */ b) => (typeof b === "function" ? b() : b)).find(Boolean)?.constructor
    const Badge = /** @type {any} */ (window).LGraphBadge ?? found()
    marks.delete(node)
    let badges = others
    if (text !== null && Badge) {
        const badge = new Badge({ text, fgColor: "#fff", bgColor: "#9a5b00" })
        const shown = () => badge
        marks.set(node, shown)
        badges = [...others, shown]
    }
    if (badges.length === before.length && text === null) return
    node.badges = badges
    node.graph?.trigger?.("node:property:changed", { type: "node:property:changed", nodeId: node.id, property: "badges", oldValue: before, newValue: badges })
    app.canvas?.setDirty(true, true)
}
