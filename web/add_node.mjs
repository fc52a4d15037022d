/** Cards into the graph without a drag: as one new node with a row per card, or as rows of the one that is there. */

import { freePlace } from "./connect.mjs?v=0.1.0"
import { addRowsNode } from "./drag_drop.mjs?v=0.1.0"
import { asOneStepOfNodes, boxOf, currentGraph, nodeLooks, nodesOf, selectedNodes } from "./host.mjs?v=0.1.0"
import { ROWS } from "./drag_plan.mjs?v=0.1.0"
import { canEdit, graphPlace, typeOf, viewOfCanvas } from "./host_canvas.mjs?v=0.1.0"
import { rowsOf, rowsOfCards } from "./rows.mjs?v=0.1.0"

/** @typedef {import("./library.mjs").Card} Card */

/** Whether there is a graph to add to. */
export const canAdd = () => Boolean(currentGraph()) && canEdit()

/** @returns {import("./rows.mjs").RowsWidget|null} of the selected stack, else of the one that was made last */
function lastRows() {
    const graph = currentGraph()
    const selected = selectedNodes().filter(node => typeOf(node) === ROWS)
    const all = graph ? nodesOf(graph).filter(node => typeOf(node) === ROWS) : []
    const newest = [...all].sort((a, b) => Number(b.id) - Number(a.id))
    return [...selected, ...newest].map(rowsOf).find(rows => rows?.value) ?? null
}

/**
 * Adds cards to the graph on the canvas, as one step of the undo history.
 *
 * @param {Card[]} cards
 * @param {"new"|"last"} where a node of their own, or the stack that is there
 */
export async function addCards(cards, where) {
    const graph = currentGraph()
    if (!graph || !cards.length) return
    const rows = await rowsOfCards(cards)
    const last = where === "last" ? lastRows() : null
    if (last) return last.add(rows)
    const { x, y, width, height } = viewOfCanvas()
    const [middleX, middleY] = graphPlace(x + width / 2, y + height / 2)
    await asOneStepOfNodes(() => {
        const [w, h] = nodeLooks(ROWS).size
        const node = addRowsNode(graph, [middleX - w / 2, middleY - h / 2], rows)
        const others = nodesOf(graph).filter(each => each !== node).map(boxOf)
        const [left, top, , tall] = boxOf(node)
        const [toX, toY] = freePlace(others, [node.size[0], tall], [left, top])
        node.pos = [toX, toY + (node.pos[1] - top)]
    })
}
