/**
 * The prompt that the deck writes into: the one last typed in. It is kept by ids, because undo and a change of the
 * workflow make every node anew.
 *
 * @typedef {import("./flow.mjs").Field} Field
 */

import { allFields, fieldsOf, givesText, isFed, onlyPrompt, writable } from "./flow.mjs?v=0.1.0"
import { allGraphs, currentGraph, graphId, isWriting, nodeOf, selectedNodes, widgetOf } from "./host.mjs?v=0.1.0"

/** @type {{graph: string, node: string, widget: string, caret: number}|null} */ let last = null
/** @type {Set<() => void>} */ const listeners = new Set()

/** @param {() => void} listener called when another prompt or another text is meant @returns {() => void} ends it */
export function onTarget(listener) {
    listeners.add(listener)
    return () => listeners.delete(listener)
}

const tell = () => listeners.forEach(listener => listener())

/** Begins to watch what is typed in. Called once. */
export function watchPrompts() {
    const note = (/** @type {Event} */ event) => {
        const area = event.target
        // Undo changes texts that nobody is in.
        if (!(area instanceof HTMLTextAreaElement) || isWriting() || area !== document.activeElement) return
        const field = widgetOf(area)
        if (field && givesText(field.node)) aim(field, area.selectionEnd)
    }
    for (const kind of ["focusin", "input", "keyup", "pointerup"]) document.addEventListener(kind, note, true)
}

/** @param {Field} field @param {number} [caret] */
export function aim(field, caret = field.widget.value.length) {
    last = { graph: graphId(field.graph), node: String(field.node.id), widget: field.widget.name, caret }
    tell()
}

/** @returns {Field|null} */
function lastField() {
    const graph = last && allGraphs().find(g => graphId(g) === last?.graph)
    const node = graph && last && nodeOf(graph, last.node)
    return (node && fieldsOf(graph, node).find(field => field.widget.name === last?.widget)) ?? null
}

/** @returns {Field|null} where nothing was typed in yet */
function guess() {
    const graph = currentGraph()
    if (!graph) return null
    for (const node of selectedNodes()) {
        const [field, other] = givesText(node) ? fieldsOf(graph, node) : []
        if (field && !other) return field
    }
    const only = onlyPrompt(graph)
    if (only) return only
    const [field, other] = allFields(graph)
    return field && !other ? field : null
}

/** @returns {{field: Field|null, fed: boolean, caret: number}} `fed`: its text comes from another node, which has none to write */
export function target() {
    const own = lastField()
    const meant = own ?? guess()
    const field = meant && writable(meant)
    if (!field) return { field: null, fed: false, caret: 0 }
    const caret = field === own && last ? last.caret : field.widget.value.length
    return { field, fed: isFed(field), caret }
}
