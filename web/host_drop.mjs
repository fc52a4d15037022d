/** Pictures that are dropped on the host's canvas: shown to the pack first, handed on as they came where it wants none. */

import { app } from "../../scripts/app.js"
import { currentGraph, nodesOf, widgetOf } from "./host_graph.mjs?v=0.1.0"

/**
 * @typedef {import("./host_graph.mjs").Node} Node
 * @typedef {object} DroppedPicture
 * @property {File} file
 * @property {Node|null} node what it was dropped on
 * @property {{x: number, y: number}} pointer in the window
 * @property {[number, number]} place on the canvas
 * @property {() => void} handOn lets the host do what it would have done
 */

/** Drops that were looked at already. @type {WeakSet<Event>} */
const seen = new WeakSet()

/**
 * Calls `take` for a single picture dropped on the canvas or on a node, unless `wants` says no. The host learns of it
 * only by `handOn`. Called once.
 *
 * @param {(node: Node|null) => boolean} wants
 * @param {(picture: DroppedPicture) => void} take
 */
export function watchPictureDrops(wants, take) {
    window.addEventListener("drop", event => {
        const file = pictureOf(event)
        const target = event.target
        if (!file || seen.has(event) || !(target instanceof Element) || !isCanvas(target) || app.canvas?.read_only) return
        const place = app.canvas.convertEventToCanvasOffset(event)
        const node = nodeAt(target, place)
        if (!wants(node)) return
        event.preventDefault()
        event.stopImmediatePropagation()
        const { clientX, clientY } = event
        take({ file, node, pointer: { x: clientX, y: clientY }, place: [place[0], place[1]], handOn: () => handOn(target, file, event) })
    }, true)
}

/** @param {DragEvent} event @returns {File|null} */
function pictureOf(event) {
    const files = event.dataTransfer?.files
    return files?.length === 1 && files[0].type.startsWith("image/") ? files[0] : null
}

/** @param {Element} target */
const isCanvas = target => target === app.canvas?.canvas || Boolean(target.closest("[data-node-id], .dom-widget"))

/** @param {Element} target @param {ArrayLike<number>} place @returns {Node|null} */
function nodeAt(target, place) {
    const graph = currentGraph()
    if (!graph) return null
    const id = target.closest("[data-node-id]")?.getAttribute("data-node-id")
    const drawn = id ? nodesOf(graph).find(node => String(node.id) === id) : null
    return drawn ?? widgetOf(target)?.node ?? graph.getNodeOnPos(place[0], place[1], app.canvas.visible_nodes) ?? null
}

/** @param {Element} target @param {File} file @param {DragEvent} event */
function handOn(target, file, { clientX, clientY, screenX, screenY }) {
    const data = new DataTransfer()
    data.items.add(file)
    const again = new DragEvent("drop", { bubbles: true, cancelable: true, composed: true, dataTransfer: data, clientX, clientY, screenX, screenY })
    seen.add(again)
    const still = target.isConnected ? target : app.canvas.canvas
    still.dispatchEvent(again)
}
