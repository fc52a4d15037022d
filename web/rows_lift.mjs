/** Moving a row by its handle. */

import { h } from "./dom.mjs?v=0.1.0"
import { dragPointer } from "./pointer_drag.mjs?v=0.1.0"

/** @param {HTMLElement} list @param {number} y in the window @returns {number} place among the rows */
export function lineAt(list, y) {
    const rows = [...list.querySelectorAll(":scope > [role=row]")]
    const found = rows.findIndex(row => {
        const { top, height } = row.getBoundingClientRect()
        return y < top + height / 2
    })
    return found < 0 ? rows.length : found
}

/** Shows where something will stand. @param {HTMLElement} list @param {number|null} place `null` takes the line away */
export function showLine(list, place) {
    list.querySelector(":scope > .ld-ins")?.remove()
    if (place === null) return
    const before = list.querySelectorAll(":scope > [role=row]")[place] ?? null
    list.insertBefore(h("div.ld-ins", { "aria-hidden": true }), before)
}

/**
 * @param {PointerEvent} event on the handle
 * @param {HTMLElement} list
 * @param {number} index
 * @param {(to: number|null) => void} done with the place among the rows as they were, `null` where nothing moves
 */
export function lift(event, list, index, done) {
    if (event.button !== 0) return
    event.preventDefault()
    const handle = /** @type {HTMLElement} */ (event.currentTarget)
    const row = list.querySelectorAll(":scope > [role=row]")[index]
    /** @type {number|null} */ let to = null
    row.classList.add("is-lifted")
    const move = (/** @type {PointerEvent} */ e) => {
        const box = list.getBoundingClientRect()
        if (e.clientY < box.top + 12) list.scrollTop -= 8
        else if (e.clientY > box.bottom - 12) list.scrollTop += 8
        to = lineAt(list, e.clientY)
        showLine(list, to)
    }
    dragPointer(event, handle, move, kept => {
        row.classList.remove("is-lifted")
        showLine(list, null)
        done(kept && to !== null && to !== index && to !== index + 1 ? to : null)
    })
}
