/**
 * What a drop of cards would do at a place of the window: which target, in which words. Nothing is changed here.
 *
 * @typedef {import("./host.mjs").Graph} Graph
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./host.mjs").Widget} Widget
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {{kind: "new", graph: Graph, place: [number, number], box: DOMRect}} New
 * @typedef {{kind: "rows", graph: Graph, node: Node, rows: import("./rows.mjs").RowsWidget, at: number, box: DOMRect}} Into
 * @typedef {{kind: "name", graph: Graph, node: Node, widget: Widget, box: DOMRect}} Name
 * @typedef {{kind: "join", graph: Graph, node: Node, slot: number, box: DOMRect}} Join
 * @typedef {{kind: "text", field: import("./flow.mjs").Field, area: HTMLTextAreaElement, at: number, box: DOMRect}} Text
 * @typedef {{kind: "combo", graph: Graph, node: Node, widget: Widget, value: string, box: DOMRect}} Combo
 * @typedef {New|Into|Name|Join|Text|Combo} Target
 */

import { isFed } from "./flow.mjs?v=0.1.0"
import { boxOf, boxOnScreen, currentGraph, inputNamed, nodeLooks, textWidgets, widgetOf } from "./host.mjs?v=0.1.0"
import { canEdit, caretAt, choicesOf, graphPlace, nodeAt, typeOf } from "./host_canvas.mjs?v=0.1.0"
import { rowsOf } from "./rows.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

export const ROWS = "LoraStackRows"
const STACK = "LORA_DECK_STACK"

/** @param {string} path */
const plain = path => path.replaceAll("\\", "/")

/**
 * @param {Card} card
 * @param {Node} node
 * @returns {{widget: Widget, value: string}|null} the combo of a node that lists the card's file
 */
export function comboFor(card, node) {
    for (const widget of node.widgets ?? []) {
        const value = choicesOf(widget).find(choice => plain(choice) === card.name)
        if (value !== undefined) return { widget, value }
    }
    return null
}

/** @param {Node} node @returns {number} slot of the input that takes a stack, -1 for none */
export const stackSlot = node =>
    (node.inputs ?? []).findIndex((/** @type {any} */ input) => String(input.type).split(",").includes(STACK))

/**
 * @param {{clientX: number, clientY: number, target: EventTarget|null}} event
 * @param {Card[]} cards
 * @returns {Target|null} `null` where nothing fits
 */
export function targetAt(event, cards) {
    const graph = currentGraph()
    if (!graph || !cards.length || !canEdit()) return null
    const { clientX: x, clientY: y } = event
    const element = event.target instanceof Element ? event.target : null
    const area = element?.closest("textarea")
    if (area) {
        const field = widgetOf(area)
        if (!field || !field.node.outputs?.length || isFed(field) || area.readOnly) return null
        return { kind: "text", field, area, at: caretAt(area, x, y), box: area.getBoundingClientRect() }
    }
    const node = nodeAt(element, x, y)
    if (node === undefined) return null
    if (node === null) {
        const place = graphPlace(x, y)
        const [width, height] = nodeLooks(ROWS).size
        return { kind: "new", graph, place, box: boxOnScreen([place[0], place[1], width, height + 30]) }
    }
    const box = boxOnScreen(boxOf(node))
    const rows = rowsOf(node)
    if (rows) return rows.value ? { kind: "rows", graph, node, rows, at: rows.placeAt(y), box } : null
    const [card] = cards
    if (typeOf(node) === "LoraStackAdd" && cards.length === 1) {
        const widget = node.widgets.find((/** @type {Widget} */ each) => each.name === "lora_name")
        const slot = inputNamed(node, "lora_name")
        if (widget && (slot < 0 || node.inputs[slot].link == null)) return { kind: "name", graph, node, widget, box }
    }
    const combo = cards.length === 1 ? comboFor(card, node) : null
    if (combo) return { kind: "combo", graph, node, ...combo, box }
    const slot = stackSlot(node)
    if (slot >= 0) return { kind: "join", graph, node, slot, box }
    const [field, other] = textWidgets(node)
    if (field && !other && node.outputs?.length) {
        const whole = { graph, node, widget: field }
        const own = field.element instanceof HTMLTextAreaElement ? field.element : null
        if (!isFed(whole) && own) return { kind: "text", field: whole, area: own, at: String(field.value).length, box }
    }
    return null
}

/** @param {Target} target @param {number} cards how many @returns {string} what will happen */
export function wordsFor(target, cards) {
    if (target.kind === "new") return count("drag.new", cards)
    if (target.kind === "rows") return count("drag.rows", cards)
    if (target.kind === "join") return count("drag.join", cards)
    if (target.kind === "text") return count("drag.text", cards)
    return target.kind === "name" ? t("drag.name") : t("drag.combo", { name: target.widget.label || target.widget.name })
}
