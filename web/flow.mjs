/**
 * Where texts go in a graph: from a text to the nodes that encode it, to the samplers, and back to other texts.
 *
 * @typedef {import("./host.mjs").Graph} Graph
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./host.mjs").Socket} Socket
 * @typedef {{graph: Graph, node: Node, widget: import("./host.mjs").Widget}} Field a text that can be written
 */

import { deepSourceOf, deepTargetsOf, edgeOf, enter, inputOfType, isLinked, nodesOf, textWidgets } from "./host.mjs?v=0.1.0"

/** Nodes that read tags. */
const PARSERS = new Set(["PromptLoraParser", "LoraTextEncode"])
const CARRIERS = ["STRING", "CONDITIONING"]

/** @param {Node} node */
export const isParser = node => PARSERS.has(node.type)

/** @param {Field} field @returns {number} slot of the input that stands for the field's widget, -1 for none */
export const slotOf = ({ node, widget }) =>
    (node.inputs ?? []).findIndex((/** @type {any} */ input) => (input.widget?.name ?? null) === widget.name)

/** @param {Field} field */
export const isFed = field => isLinked(field.graph, field.node, slotOf(field))

/** @param {Graph} graph @param {Node} node @returns {Field[]} */
export const fieldsOf = (graph, node) => textWidgets(node).map(widget => ({ graph, node, widget }))

/** @param {Node} node @returns {boolean} whether a text in it goes anywhere, rather than being shown there */
export const givesText = node => Boolean(node.outputs?.length || node.subgraph)

/** @param {Graph} graph @returns {Field[]} every text of a graph that goes somewhere */
export const allFields = graph => nodesOf(graph).flatMap(node => (givesText(node) ? fieldsOf(graph, node) : []))

/**
 * Every input that a text reaches over text and conditioning, samplers last in each branch. The text of a subgraph's node
 * goes into the subgraph first.
 *
 * @param {Field} field
 * @returns {Socket[]}
 */
export function reached(field) {
    const { graph, node } = field
    const inside = node.subgraph ? enter({ graph, node, slot: slotOf(field) }) : []
    /** @type {Socket[]} */ const found = [...inside]
    const seen = new Set([node, ...inside.map(socket => socket.node)])
    const open = node.subgraph ? inside.filter(socket => !isSampler(socket.node)) : [{ graph, node, slot: -1 }]
    for (let at = open.pop(); at; at = open.pop()) {
        for (const [slot, output] of (at.node.outputs ?? []).entries()) {
            if (!CARRIERS.includes(output.type) && output.type !== "*") continue
            for (const socket of deepTargetsOf(at.graph, at.node, slot)) {
                found.push(socket)
                if (seen.has(socket.node) || isSampler(socket.node)) continue
                seen.add(socket.node)
                open.push(socket)
            }
        }
    }
    return found
}

/** @param {Node} node @returns {boolean} whether it uses a model with conditioning */
const isSampler = node => inputOfType(node, "MODEL") >= 0 && inputOfType(node, "CONDITIONING") >= 0

/** @param {Field} field @returns {boolean} whether a tag in it has an effect */
export const isRead = field => isParser(field.node) || reached(field).some(({ node }) => isParser(node))

/** @param {Field} field @returns {Socket[]} the samplers it reaches, each with the input it comes in by */
export const samplersOf = field => reached(field).filter(({ node }) => isSampler(node))

/** @param {Field} field @returns {Socket[]} the nodes that encode it, each with the input it comes in by */
export function encodersOf(field) {
    const encodes = (/** @type {Socket} */ { node }) =>
        inputOfType(node, "CLIP") >= 0 && (node.outputs ?? []).some((/** @type {any} */ o) => o.type === "CONDITIONING")
    const own = field.node.subgraph ? [] : [{ graph: field.graph, node: field.node, slot: slotOf(field) }]
    const found = new Map()
    for (const socket of [...own, ...reached(field)].filter(encodes)) if (!found.has(socket.node)) found.set(socket.node, socket)
    return [...found.values()]
}

/**
 * The texts behind an input.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {number} slot
 * @returns {Field[]}
 */
export function fieldsBehind(graph, node, slot) {
    /** @type {Field[]} */ const found = []
    const seen = new Set()
    const walk = (/** @type {Graph} */ g, /** @type {Node} */ n, /** @type {number} */ s) => {
        const source = deepSourceOf(g, n, s)
        if (!source) found.push(...promoted(g, n, s))
        if (!source || seen.has(source.node)) return
        seen.add(source.node)
        found.push(...fieldsOf(source.graph, source.node).filter(field => !isFed(field)))
        for (const [i, input] of (source.node.inputs ?? []).entries())
            if (CARRIERS.includes(input.type)) walk(source.graph, source.node, i)
    }
    walk(graph, node, slot)
    return found
}

/** The text of a subgraph's node that an input inside stands for. @type {(graph: Graph, node: Node, slot: number) => Field[]} */
function promoted(graph, node, slot) {
    const edge = edgeOf(graph, node, slot)
    if (!edge) return []
    if (isLinked(edge.graph, edge.node, edge.slot)) return promoted(edge.graph, edge.node, edge.slot)
    return fieldsOf(edge.graph, edge.node).filter(field => slotOf(field) === edge.slot)
}

/** @param {Field} field @returns {Field} itself, or the text that feeds it; itself again where no text can be told */
export function writable(field) {
    if (!isFed(field)) return field
    const behind = fieldsBehind(field.graph, field.node, slotOf(field))
    return behind.length === 1 ? behind[0] : field
}

/** @param {Field} field @returns {Field|null} the negative prompt that goes with it, where exactly one does */
export function negativeOf(field) {
    const found = new Map()
    for (const { graph, node, slot } of samplersOf(field)) {
        if (node.inputs[slot].name !== "positive") continue
        const negative = node.inputs.findIndex((/** @type {any} */ input) => input.name === "negative")
        if (negative < 0) continue
        for (const other of fieldsBehind(graph, node, negative)) found.set(other.widget, other)
    }
    const [only] = found.values()
    return found.size === 1 && only.widget !== field.widget ? only : null
}

/** @param {Graph} graph @returns {Field|null} the prompt of a graph, where exactly one text is some sampler's positive */
export function onlyPrompt(graph) {
    const found = new Map()
    for (const node of nodesOf(graph)) {
        if (!isSampler(node)) continue
        const slot = node.inputs.findIndex((/** @type {any} */ input) => input.name === "positive" || input.name === "conditioning")
        for (const field of slot < 0 ? [] : fieldsBehind(graph, node, slot)) found.set(field.widget, field)
    }
    const [only] = found.values()
    return found.size === 1 ? only : null
}
