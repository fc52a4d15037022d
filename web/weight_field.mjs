/** A weight: dragged sideways, typed, or stepped by keys. The wheel never changes it. */

import { h } from "./dom.mjs?v=0.1.0"
import { dragPointer } from "./pointer_drag.mjs?v=0.1.0"
import { tidy } from "./rows_value.mjs?v=0.1.0"

const PX_PER_STEP = 4
const START_PX = 3

/** @param {KeyboardEvent|PointerEvent} event @returns {number} */
export const stepOf = event => (event.shiftKey ? 0.01 : 0.05)

/** @param {string} text @returns {number|null} */
export function numberIn(text) {
    const plain = text.trim().replace(",", ".")
    return plain && Number.isFinite(Number(plain)) ? Number(plain) : null
}

/** @param {number} value @returns {string} two places, or as many as it has */
const shown = value => (Math.abs(value * 100 - Math.round(value * 100)) < 1e-9 ? value.toFixed(2) : String(value))

/**
 * @param {object} given
 * @param {string} given.name for screen readers
 * @param {string} given.at what the field is found by after it was drawn again
 * @param {string} [given.label] shown in front of the number
 * @param {number} given.value
 * @param {number} given.tab
 * @param {(value: number) => void} given.commit once per gesture
 * @param {() => void} given.leave the keyboard is done here
 * @param {(dragging: boolean) => void} given.hold while it is dragged nothing may be drawn again
 * @returns {HTMLElement}
 */
export function weightField({ name, at, label, value, tab, commit, leave, hold }) {
    let now = value
    const input = h("input", { type: "text", inputmode: "decimal", role: "spinbutton", "aria-label": name, "data-at": at, tabindex: tab, autocomplete: "off" })
    const field = h("span.ld-fw", { class: label === "te" ? "ld-fw--te" : "" }, label && h("span", null, label), input)
    const draw = (/** @type {boolean} */ text = true) => {
        if (text) input.value = shown(now)
        input.setAttribute("aria-valuenow", String(now))
        field.style.setProperty("--f", `${Math.min(100, Math.abs(now) * 50)}%`)
        field.classList.toggle("is-neg", now < 0)
    }
    const put = () => {
        const typed = numberIn(input.value)
        now = typed === null ? value : typed
        draw()
        if (now !== value) commit(now)
    }
    input.addEventListener("focus", () => input.select())
    input.addEventListener("blur", put)
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "ArrowUp" || event.key === "ArrowDown") {
            now = tidy((numberIn(input.value) ?? now) + (event.key === "ArrowUp" ? 1 : -1) * stepOf(event))
            draw()
        } else if (event.key === "Enter") {
            leave()
        } else if (event.key === "Escape") {
            now = value
            draw()
            leave()
        } else if (!["Tab"].includes(event.key)) return void event.stopPropagation()
        else return
        event.preventDefault()
        event.stopPropagation()
    })
    field.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
        if (event.button !== 0 || document.activeElement === input) return
        event.preventDefault()
        const from = event.clientX
        let dragged = false
        const move = (/** @type {PointerEvent} */ e) => {
            if (!dragged && Math.abs(e.clientX - from) < START_PX) return
            if (!dragged) {
                dragged = true
                field.classList.add("is-dragged")
                hold(true)
            }
            now = tidy(value + Math.round((e.clientX - from) / PX_PER_STEP) * stepOf(e))
            draw()
        }
        dragPointer(event, field, move, kept => {
            field.classList.remove("is-dragged")
            if (dragged) hold(false)
            if (!kept) now = value
            draw()
            if (kept && !dragged) input.focus({ preventScroll: true })
            else if (now !== value) commit(now)
        })
    })
    draw()
    return field
}
