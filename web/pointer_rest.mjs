/** Tells a pointer that goes somewhere from one that rests, and under which something comes: after a drag, or as a panel closes. */

let rests = { x: NaN, y: NaN }

addEventListener("pointermove", ({ clientX: x, clientY: y }) => {
    rests = { x, y }
}, { capture: true, passive: true })

/** @param {PointerEvent} event `pointerover` or `pointerenter` @returns {boolean} whether the pointer moved to get there */
export const cameByMoving = event => event.clientX !== rests.x || event.clientY !== rests.y
