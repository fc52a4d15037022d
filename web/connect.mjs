/**
 * Wiring a prompt that reaches no parser: a parser before the encoder, `LoraStackApply` behind the sources of model
 * and text encoder. Nothing is moved.
 *
 * @typedef {import("./flow.mjs").Field} Field
 * @typedef {import("./host.mjs").Graph} Graph
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./host.mjs").Socket} Socket
 * @typedef {[number, number, number, number]} Box x, y, width, height
 *
 * @typedef {object} Plan
 * @property {Field} field
 * @property {Graph} graph where the nodes are added: the prompt's own, or one inside a subgraph that it goes into
 * @property {{node: Node|null, slot: number}|null} from what gives the text in that graph, a node or the graph's own
 *     input; `null`: the parser holds the text itself
 * @property {Box} parser
 * @property {Box|null} apply `null` where one that is there serves
 * @property {Node|null} serves
 * @property {Socket|null} model source of the model
 * @property {Socket|null} clip source of the text encoder
 * @property {Set<Node>} used the nodes that take part in this prompt's pictures
 */

import { encodersOf, fieldsOf, samplersOf, slotOf } from "./flow.mjs?v=0.1.0"
import {
    addNode, boxOf, connectEdge, edgeOf, holderOf, inputNamed, inputOfType, insideOf, nodeLooks, nodesOf, sourceOf, targetsOf,
} from "./host.mjs?v=0.1.0"

export const PARSER = "PromptLoraParser"
export const APPLY = "LoraStackApply"
const GAP = 50
const STEP = 40
const RINGS = 60

/**
 * The first of a chain of nodes that hand a type on, such as the loader behind a node that shifts a model's sampling.
 *
 * @param {Graph} graph
 * @param {Node} node
 * @param {"MODEL"|"CLIP"} type
 * @returns {{source: Socket|null, apply: Node|null}} `apply`: a node of ours on the way
 */
function sourceOfType(graph, node, type) {
    let source = sourceOf(graph, node, inputOfType(node, type))
    let apply = null
    for (const seen = new Set(); source && !seen.has(source.node); ) {
        seen.add(source.node)
        if (source.node.type === APPLY) apply ??= source.node
        const before = sourceOf(graph, source.node, inputOfType(source.node, type))
        if (!before) break
        source = before
    }
    return { source, apply }
}

/** @param {Graph} graph @param {Node[]} ends @returns {Set<Node>} `ends` and all that feeds them */
function allBehind(graph, ends) {
    const found = new Set(ends)
    for (const node of found)
        for (const slot of (node.inputs ?? []).keys()) {
            const source = sourceOf(graph, node, slot)
            if (source) found.add(source.node)
        }
    return found
}

/**
 * An input as it is seen in a graph: where it lies inside a subgraph, that subgraph's node, with the slot that leads to it.
 *
 * @param {Graph} graph
 * @param {Socket} socket
 * @returns {Socket[]} none where it lies elsewhere
 */
function seenIn(graph, socket) {
    if (socket.graph === graph) return [socket]
    const outer = edgeOf(socket.graph, socket.node, socket.slot) ?? holderOf(socket.graph)
    return outer ? seenIn(graph, { slot: -1, ...outer }) : []
}

/**
 * @param {Field} field
 * @returns {Plan|null} `null` where the text goes into no encoder
 */
export function plan(field) {
    const encoders = encodersOf(field)
    const graphs = new Set([field.graph, ...encoders.map(({ graph }) => graph)])
    const plans = [...graphs].flatMap(graph => planIn(graph, field, encoders) ?? [])
    return plans.find(({ serves, model, clip }) => serves || (model && clip)) ?? plans[0] ?? null
}

/** @param {Graph} graph @param {Field} field @param {Socket[]} encoders @returns {Plan|null} */
function planIn(graph, field, encoders) {
    const encoding = encoders.flatMap(socket => seenIn(graph, socket))
    const samplers = samplersOf(field).flatMap(socket => seenIn(graph, socket)).map(({ node }) => node)
    const from = feedOf(graph, field, encoding)
    if (!encoding.length || from === undefined) return null
    const used = allBehind(graph, [...samplers, ...encoding.map(({ node }) => node)])
    const models = samplers.map(node => sourceOfType(graph, node, "MODEL"))
    const clips = encoding.map(({ node }) => sourceOfType(graph, node, "CLIP"))
    const serves = [...models, ...clips].find(({ apply }) => apply)?.apply ?? null
    const model = models.find(({ source }) => source)?.source ?? null
    const clip = clips.find(({ source }) => source)?.source ?? null
    if (!serves && !model && !clip) return null

    const boxes = nodesOf(graph).map(boxOf)
    const first = boxOf(encoding[0].node)
    const size = nodeLooks(PARSER).size
    const parser = freePlace(boxes, size, [first[0] - size[0] - GAP, first[1]])
    let apply = null
    if (!serves) {
        const behind = boxOf((model ?? /** @type {Socket} */ (clip)).node)
        apply = freePlace([...boxes, parser], nodeLooks(APPLY).size, [behind[0] + behind[2] + GAP, behind[1]])
    }
    return { field, graph, from, parser, apply, serves, model, clip, used }
}

/**
 * @param {Graph} graph
 * @param {Field} field
 * @param {Socket[]} encoding
 * @returns {Plan["from"]|undefined} `undefined` where the text cannot be tapped in this graph
 */
function feedOf(graph, field, encoding) {
    if (encoding.some(({ node }) => node === field.node)) return null
    if (field.graph === graph) return { node: field.node, slot: field.node.outputs.findIndex((/** @type {any} */ output) => output.type === "STRING") }
    for (const { node, slot } of encoding) {
        if (node.inputs[slot]?.type !== "STRING") continue
        const edge = edgeOf(graph, node, slot)
        const source = sourceOf(graph, node, slot)
        if (edge || source) return edge ? { node: null, slot: edge.slot } : source
    }
    return undefined
}

/**
 * @param {Box[]} taken
 * @param {[number, number]} size without title
 * @param {[number, number]} wanted
 * @returns {Box} the free place nearest to the one wanted
 */
export function freePlace(taken, [width, height], [x, y]) {
    const tall = height + 30
    const free = (/** @type {number} */ left, /** @type {number} */ top) =>
        taken.every(([a, b, w, h]) => left + width + 20 <= a || a + w + 20 <= left || top + tall + 20 <= b || b + h + 20 <= top)
    let best = null
    let nearest = Infinity
    for (let dx = -RINGS; dx <= RINGS; dx++)
        for (let dy = -RINGS; dy <= RINGS; dy++) {
            const distance = Math.hypot(dx, dy)
            if (distance < nearest && free(x + dx * STEP, y + dy * STEP)) {
                nearest = distance
                best = [dx, dy]
            }
        }
    const [dx, dy] = best ?? [0, RINGS]
    return [x + dx * STEP, y + dy * STEP, width, tall]
}

/**
 * Carries a plan out. Call it inside one undo step.
 *
 * @param {Plan} found
 * @param {string} text what the prompt shall say
 * @returns {Field} where the prompt is written from now on
 */
export function carryOut({ field, graph, from, parser: [x, y, , tall], apply, serves, model, clip, used }, text) {
    const height = tall - 30
    const parser = addNode(graph, PARSER, [x, y + 30])
    parser.setSize([parser.size[0], height])
    const [own] = fieldsOf(graph, parser)
    let written = own
    if (from) {
        // The text stays where it is, and the parser is put behind it.
        const targets = from.node ? targetsOf(graph, from.node, from.slot) : insideOf(graph, from.slot)
        if (from.node) from.node.connect(from.slot, parser, slotOf(own))
        else connectEdge(graph, from.slot, parser, slotOf(own))
        for (const to of targets) parser.connect(0, to.node, to.slot)
        written = fieldsOf(field.graph, field.node).find(({ widget }) => widget.name === field.widget.name) ?? field
    } else parser.connect(0, field.node, slotOf(field))
    written.widget.value = text
    written.widget.callback?.(text)
    const applied = serves ?? addNode(graph, APPLY, apply ? [apply[0], apply[1] + 30] : [x, y])
    const stack = inputNamed(applied, "stack")
    const earlier = sourceOf(graph, applied, stack)
    if (earlier) earlier.node.connect(earlier.slot, parser, inputNamed(parser, "stack"))
    parser.connect(1, applied, stack)
    if (!serves) {
        for (const [source, slot, name] of /** @type {const} */ ([[model, 0, "model"], [clip, 1, "clip"]])) {
            if (!source) continue
            const targets = targetsOf(graph, source.node, source.slot).filter(to => used.has(to.node))
            source.node.connect(source.slot, applied, inputNamed(applied, name))
            for (const to of targets) applied.connect(slot, to.node, to.slot)
        }
    }
    return written
}
