/** Carrying out what a drop of cards means, each time as one step of the undo history. */

import { freePlace } from "./connect.mjs?v=0.1.0"
import { addNode, asOneStep, asOneStepOfNodes, boxOf, inputNamed, nodesOf } from "./host.mjs?v=0.1.0"
import { fitNode, moveLink } from "./host_canvas.mjs?v=0.1.0"
import { emptyRows } from "./rows_value.mjs?v=0.1.0"
import { ROWS } from "./drag_plan.mjs?v=0.1.0"

/** @typedef {import("./drag_plan.mjs").Target} Target @typedef {import("./rows_value.mjs").Row} Row */

const GAP = 50
const TITLE = 30

/** @param {import("./host.mjs").Widget} widget @param {any} value */
function setValue(widget, value) {
    widget.value = value
    widget.callback?.(value)
}

/**
 * A node with rows. Call it inside one undo step.
 *
 * @param {import("./host.mjs").Graph} graph
 * @param {[number, number]} place of its box, title and all
 * @param {Row[]} rows
 * @returns {import("./host.mjs").Node}
 */
export function addRowsNode(graph, [x, y], rows) {
    const node = addNode(graph, ROWS, [x, y + TITLE])
    const widget = node.widgets.find((/** @type {any} */ each) => each.name === "rows")
    widget.value = { ...emptyRows(), rows }
    fitNode(node)
    return node
}

/** @param {Exclude<Target, {kind: "text"}>} target @param {Row[]} rows */
export async function drop(target, rows) {
    const { graph } = target
    if (target.kind === "rows") target.rows.add(rows, target.at)
    else if (target.kind === "new") await asOneStepOfNodes(() => void addRowsNode(graph, target.place, rows))
    else if (target.kind === "join") await asOneStepOfNodes(() => join(target, rows))
    else asOneStep(() => setValue(target.widget, target.kind === "name" ? rows[0].name : target.value))
}

/** @param {import("./drag_plan.mjs").Join} target @param {Row[]} rows */
function join({ graph, node, slot }, rows) {
    const [x, y] = boxOf(node)
    const made = addRowsNode(graph, [x, y], rows)
    const others = nodesOf(graph).filter(each => each !== made).map(boxOf)
    const [left, top] = freePlace(others, [made.size[0], made.size[1]], [x - made.size[0] - GAP, y])
    made.pos = [left, top + TITLE]
    moveLink(graph, node, slot, made, inputNamed(made, "stack"))
    made.connect(0, node, slot)
}
