/** A drag from press to release, with a mouse, a pen or a finger. Escape takes it back. */

/**
 * @param {PointerEvent} event the press
 * @param {HTMLElement} element that gets the pointer until it is released
 * @param {(event: PointerEvent) => void} move
 * @param {(kept: boolean) => void} end called once; `kept` is false after Escape, and where the browser takes the pointer away
 */
export function dragPointer(event, element, move, end) {
    const over = new AbortController()
    const { signal } = over
    const finish = (/** @type {boolean} */ kept) => {
        over.abort()
        end(kept)
    }
    element.setPointerCapture(event.pointerId)
    element.addEventListener("pointermove", move, { signal })
    element.addEventListener("pointerup", () => finish(true), { signal })
    element.addEventListener("pointercancel", () => finish(false), { signal })
    window.addEventListener("keydown", e => {
        if (e.key !== "Escape") return
        e.preventDefault()
        e.stopImmediatePropagation()
        finish(false)
    }, { capture: true, signal })
}
