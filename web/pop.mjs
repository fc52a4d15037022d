/** A box over everything, beside what opened it: closed by Escape, by a press outside, or by whoever opened it. */

import { h } from "./dom.mjs?v=0.1.0"

/** @type {(() => void)|null} */ let closeOpen = null

/** Closes the open box, if one is. */
export const closePop = () => closeOpen?.()

/**
 * @param {string} label
 * @param {HTMLElement|{x: number, y: number}} at an element to hang below, or a place in the window
 * @param {string} classes
 * @param {(Node|null|false)[]} content the first field or button in it takes the focus
 * @param {() => void} [closed]
 * @returns {{element: HTMLElement, close: () => void, place: () => void}}
 */
export function openPop(label, at, classes, content, closed) {
    closePop()
    const before = document.activeElement
    const opener = at instanceof HTMLElement ? at : null
    const element = h("div.ld.ld-pop", { class: classes, role: "dialog", "aria-label": label, tabindex: -1 }, content)
    const close = () => {
        if (closeOpen !== close) return
        closeOpen = null
        document.removeEventListener("pointerdown", outside, true)
        opener?.setAttribute("aria-expanded", "false")
        const held = element.contains(document.activeElement)
        element.remove()
        if (held && before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true })
        closed?.()
    }
    const outside = (/** @type {Event} */ event) => {
        const target = /** @type {Element} */ (event.target)
        if (!element.contains(target) && !target.closest?.(".ld-menu--at")) close()
    }
    const place = () => {
        const box = element.getBoundingClientRect()
        const hung = opener?.getBoundingClientRect()
        const x = hung ? hung.left : /** @type {{x: number}} */ (at).x
        const y = hung ? hung.bottom + 4 : /** @type {{y: number}} */ (at).y
        const above = hung ? hung.top - box.height - 4 : innerHeight - box.height - 8
        element.style.left = `${Math.max(8, Math.min(x, innerWidth - box.width - 8))}px`
        element.style.top = `${y + box.height + 8 <= innerHeight ? y : Math.max(8, above)}px`
    }
    element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        event.stopPropagation()
        if (event.key === "Escape") {
            event.preventDefault()
            close()
        }
    })
    document.body.append(element)
    place()
    document.addEventListener("pointerdown", outside, true)
    opener?.setAttribute("aria-expanded", "true")
    closeOpen = close
    const first = element.querySelector("input, textarea, select, button")
    ;(first instanceof HTMLElement ? first : element).focus({ preventScroll: true })
    if (first instanceof HTMLInputElement) first.select()
    return { element, close, place }
}
