/** Elements from plain values. Texts become text nodes and attributes are set by name, so nothing of a user's is markup. */

/** Attributes whose values are the words true and false. */
const WORDED = /^(aria-.*|draggable|spellcheck)$/
const SVG = "http://www.w3.org/2000/svg"

/**
 * @typedef {Node|string|number|null|undefined|false} Child
 *
 * @param {string} tag `name` or `name.class.class`
 * @param {Record<string, any>|null} [given] attributes; `on…` functions are listeners, `style` may hold custom
 *     properties, `true` sets an empty attribute and `false` none, but for those that say true or false in words
 * @param {...(Child|Child[])} children
 * @returns {any}
 */
export function h(tag, given, ...children) {
    const [name, ...classes] = tag.split(".")
    const element = document.createElement(name)
    if (classes.length) element.className = classes.join(" ")
    for (const [key, value] of Object.entries(given ?? {})) {
        if (value == null || (value === false && !WORDED.test(key))) continue
        if (key.startsWith("on")) element.addEventListener(key.slice(2).toLowerCase(), value)
        else if (key === "style") for (const [rule, v] of Object.entries(value)) element.style.setProperty(rule, String(v))
        else if (key === "class") element.classList.add(...value.split(" ").filter(Boolean))
        else element.setAttribute(key, value === true && !WORDED.test(key) ? "" : String(value))
    }
    element.append(.../** @type {any[]} */ (children.flat().filter(c => c !== false && c != null)))
    return element
}

const STOPS = ":is(button, input, [tabindex]):not(:disabled)"

/**
 * Replaces what an element holds. The keyboard's focus stays at its place in it, and goes to `next` where nothing is left
 * there: a focus that is lost is the page's, whose keys are the graph's.
 *
 * @param {HTMLElement} element
 * @param {Node[]} content
 * @param {() => void} [next]
 */
export function renew(element, content, next) {
    const held = document.activeElement
    const at = held && element.contains(held) ? [...element.querySelectorAll(STOPS)].indexOf(held) : -1
    element.replaceChildren(...content)
    if (at < 0) return
    const left = /** @type {HTMLElement[]} */ ([...element.querySelectorAll(STOPS)])
    if (left.length) left[Math.min(at, left.length - 1)].focus({ preventScroll: true })
    else next?.()
}

/** @type {EventTarget|null|undefined} what the pointer is pressed on; `undefined` before anybody asked */ let pressed
/** @type {Map<object, () => void>} */ const waiting = new Map()

/**
 * Draws something anew, once no pointer is pressed on it: a button that goes between press and release is not clicked.
 *
 * @param {object} what of the same thing the last drawing counts
 * @param {HTMLElement[]} elements where it stands
 * @param {() => void} draw
 */
export function drawReleased(what, elements, draw) {
    if (pressed === undefined) watchPointer()
    if (pressed instanceof Node && elements.some(element => element.contains(/** @type {Node} */ (pressed)))) return void waiting.set(what, draw)
    waiting.delete(what)
    draw()
}

function watchPointer() {
    pressed = null
    document.addEventListener("pointerdown", event => (pressed = event.target), true)
    const released = () => {
        pressed = null
        // After the click, which follows at once.
        setTimeout(() => {
            const draws = [...waiting.values()]
            waiting.clear()
            for (const draw of draws) draw()
        })
    }
    for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, released, true)
}

// Own drawings on a grid of 24, with round strokes of 2.
const PATHS = {
    search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM20.5 20.5 16 16",
    filter: "M3 6h18M6.5 12h11M10 18h4",
    view: "M4 7h7M17 7h3M4 17h3M13 17h7M14 7m-3 0a3 3 0 1 0 6 0 3 3 0 1 0-6 0M10 17m-3 0a3 3 0 1 0 6 0 3 3 0 1 0-6 0",
    refresh: "M20 11A8 8 0 0 0 6 6.3L3.5 9M3.5 4v5h5M4 13a8 8 0 0 0 14 4.7l2.5-2.7M20.5 20v-5h-5",
    more: "M4.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0M11.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0M18.2 12a.8.8 0 1 0 1.6 0 .8.8 0 1 0-1.6 0",
    x: "M6 6l12 12M18 6 6 18",
    right: "M9 5l7 7-7 7",
    down: "M5 9l7 7 7-7",
    folder: "M3 7a2 2 0 0 1 2-2h4l2.5 3H19a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2Z",
    open: "M3 18V7a2 2 0 0 1 2-2h4l2.5 3H18a2 2 0 0 1 2 2v1M3 18l2.6-6a2 2 0 0 1 1.8-1H21a1 1 0 0 1 .9 1.4l-2 5A2 2 0 0 1 18 19H4a1 1 0 0 1-1-1Z",
    tree: "M5 4v12a2 2 0 0 0 2 2h4M5 9h6M15 6.5h5v5h-5zM15 15.5h5v5h-5z",
    library: "M4 5v15M9 5v15M14 5.4l5.2 14.2",
    text: "M4 6h16M4 11h9M4 16h6M17 12v8M13.5 16h7",
    copy: "M9 9h9a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-8a2 2 0 0 1-2-2v-9M5 15H4a1 1 0 0 1-1-1V5a2 2 0 0 1 2-2h8a2 2 0 0 1 2 1",
    hash: "M5 9h15M4 15h15M10 4 8 20M16 4l-2 16",
    check: "M5 12.5l4.5 4.5L19.5 7",
    bad: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 8v5M12 16.2h.01",
    eyeoff: "M4 4l16 16M9.9 5.6A9.8 9.8 0 0 1 12 5.4c5 0 8.4 4 9.5 6.6a13 13 0 0 1-2.6 3.7M6.3 7.6A13.6 13.6 0 0 0 2.5 12C3.6 14.6 7 18.6 12 18.6c1.7 0 3.2-.5 4.5-1.2M9.9 10.2a3 3 0 0 0 4 4",
    play: "M8 5.5v13l10.5-6.5Z",
    link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
    unlink: "M18.9 12.6A4 4 0 0 0 13.2 7l-1.5 1.4M5.2 11.3a4 4 0 0 0 5.7 5.7l1.4-1.4M8.2 3.8v2.4M3.8 8.2h2.4M16 17.8v2.4M17.8 16h2.4",
    list: "M4 6h.01M4 12h.01M4 18h.01M9 6h11M9 12h11M9 18h11",
    small: "M4 4h16v16H4zM9.3 4v16M14.7 4v16M4 9.3h16M4 14.7h16",
    medium: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
    large: "M4 4h16v16H4zM4 16l5-5 4 4 2-2 5 5",
    sort: "M7 5v14M3.5 15.5 7 19l3.5-3.5M17 19V5M13.5 8.5 17 5l3.5 3.5",
    image: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1ZM4 16l4.5-4.5 4 4L15 13l5 5M15 8.5h.01",
    upload: "M12 16V5M7.5 9 12 4.5 16.5 9M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
    clip: "M9 4h6v3H9zM9 5.5H6.5a1.5 1.5 0 0 0-1.5 1.5v12.5A1.5 1.5 0 0 0 6.5 21h11a1.5 1.5 0 0 0 1.5-1.5V7a1.5 1.5 0 0 0-1.5-1.5H15",
    dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1ZM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
    warn: "M12 4 2.8 19.5h18.4ZM12 10v4M12 17h.01",
    edit: "M4 20l1-4.5L16.2 4.3a2 2 0 0 1 2.8 0l.7.7a2 2 0 0 1 0 2.8L8.5 19ZM14.5 6l3.5 3.5",
    undo: "M8 5 4 9l4 4M4 9h10a6 6 0 0 1 0 12h-3",
    off: "M4 4l16 16M2.5 9.5A15 15 0 0 1 7 6.6M21.5 9.5A15 15 0 0 0 11 5.1M6 13a10 10 0 0 1 4-2.3M18 13a10 10 0 0 0-2.5-1.7M9.3 16.5a4.5 4.5 0 0 1 5.4 0M12 20h.01",
    pause: "M9 5v14M15 5v14",
    minus: "M6 12h12",
    plus: "M12 6v12M6 12h12",
    star: "M12 3.8l2.6 5.2 5.7.8-4.1 4 1 5.7-5.2-2.7-5.1 2.7 1-5.7-4.1-4 5.7-.8Z",
    gear: "M12 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7ZM12 3v2.5M12 18.5V21M3 12h2.5M18.5 12H21M5.6 5.6l1.8 1.8M16.6 16.6l1.8 1.8M18.4 5.6l-1.8 1.8M7.4 16.6l-1.8 1.8",
    info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 11v5M12 7.8h.01",
    find: "M12 3v4M12 17v4M3 12h4M17 12h4M12 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12Z",
    bars: "M4.5 20v-7M9.5 20V5M14.5 20v-9M19.5 20V8",
    layers: "M12 3.5 3.5 8.2 12 13l8.5-4.8ZM4 12.6l8 4.5 8-4.5M4 16.8l8 4.5 8-4.5",
    hires: "M4 14v6h6M4 20l6.5-6.5M20 10V4h-6M20 4l-6.5 6.5",
    cards: "M10 6.5h8.5A1.5 1.5 0 0 1 20 8v11.5a1.5 1.5 0 0 1-1.5 1.5H10a1.5 1.5 0 0 1-1.5-1.5V8A1.5 1.5 0 0 1 10 6.5ZM5.8 17.5 3.6 6.2a1.5 1.5 0 0 1 1.2-1.8l8.4-1.6M13 15.5h3M13 10.5v5",
    up: "M12 20V5M6 10.5 12 4.5l6 6",
    low: "M12 4v15M6 13.5l6 6 6-6",
    trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 12.5h9l1-12.5M10.5 11v5M13.5 11v5",
    grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
    node: "M4 7.5A2.5 2.5 0 0 1 6.5 5h11A2.5 2.5 0 0 1 20 7.5v9a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 4 16.5ZM12 9v6M9 12h6",
}

/** @typedef {keyof typeof PATHS} IconName */

/**
 * @param {IconName} name
 * @param {string} [more] further classes
 */
export function icon(name, more = "") {
    const svg = document.createElementNS(SVG, "svg")
    svg.setAttribute("class", `ld-i ${more}`)
    svg.setAttribute("viewBox", "0 0 24 24")
    svg.setAttribute("aria-hidden", "true")
    const path = document.createElementNS(SVG, "path")
    path.setAttribute("d", PATHS[name])
    svg.append(path)
    return svg
}

/**
 * A button that shows an icon alone.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {Record<string, any>} [given]
 * @returns {HTMLButtonElement}
 */
export const iconButton = (name, label, given) =>
    h("button.ld-ib", { type: "button", "aria-label": label, title: label, ...given }, icon(name))

/** @param {string} text @returns {HTMLElement} for screen readers alone */
export const hidden = text => h("span.ld-vh", null, text)
