/** The virtual list: only the cards in view, and a little around them, are elements. */

import { h } from "./dom.mjs?v=0.1.0"

const LEAST = { small: 92, medium: 136, large: 216, list: Infinity }
const BELOW = { small: 26, medium: 64, large: 68, list: 52 }
const GAPS = 8
/** Rows kept above and below the view. */
const AROUND = 1

/**
 * @typedef {import("./store.mjs").Size} Size
 * @typedef {object} Owner what the list shows
 * @property {(element: HTMLElement, index: number) => void} fill
 * @property {(from: number, to: number) => void} need tells which cards are in view
 */

export class Grid {
    /** @param {Owner} owner @param {string} label */
    constructor(owner, label) {
        this.owner = owner
        /** @type {Size} */ this.size = "medium"
        this.total = 0
        this.columns = 1
        this.focus = 0
        /** @type {Map<number, HTMLElement>} index → element */ this.alive = new Map()
        /** @type {HTMLElement[]} */ this.spare = []
        /** @type {HTMLElement} */ this.space = h("div.ld-space", { role: "listbox", "aria-label": label, "aria-multiselectable": true })
        /** @type {HTMLElement} */ this.before = h("div")
        /** @type {HTMLElement} */ this.after = h("div")
        /** @type {HTMLElement} */ this.element = h("div.ld-list.ld-scroll", { tabindex: -1 }, this.before, this.space, this.after)
        this.element.addEventListener("scroll", () => this.draw(), { passive: true })
        this.watcher = new ResizeObserver(() => this.measure())
        this.watcher.observe(this.element)
    }

    /** @param {Size} size */
    setSize(size) {
        const top = this.firstInView()
        this.size = size
        this.element.dataset.size = { small: "s", medium: "m", large: "l", list: "list" }[size]
        this.empty()
        this.measure()
        if (this.pitch && top) this.element.scrollTop = this.above + Math.floor(top / this.columns) * this.pitch
    }

    /** @param {number} total */
    setTotal(total) {
        this.total = total
        if (this.focus >= total) this.focus = Math.max(0, total - 1)
        const held = this.space.contains(document.activeElement)
        for (const [index, element] of this.alive) if (index >= total) this.drop(index, element)
        this.measure()
        if (held && !this.space.contains(document.activeElement)) this.setFocus(this.focus)
    }

    /** Reads the width and lays everything out anew. */
    measure() {
        const width = this.element.clientWidth - GAPS - (this.element.offsetWidth - this.element.clientWidth ? 0 : 8)
        if (width <= 0) return
        this.columns = Math.max(1, Math.floor(width / LEAST[this.size]))
        this.column = width / this.columns
        this.pitch = this.size === "list" ? BELOW.list : Math.round(this.column + BELOW[this.size])
        this.space.style.height = `${Math.ceil(this.total / this.columns) * this.pitch}px`
        this.space.style.setProperty("--column", `${this.column}px`)
        this.space.style.setProperty("--pitch", `${this.pitch}px`)
        for (const [index, element] of this.alive) this.place(element, index)
        this.draw()
    }

    /** How far below the list's upper edge the cards begin. */
    get above() {
        return this.before.offsetHeight
    }

    /** @param {Node|null} content to stand above the cards */
    lead(content) {
        if (!content && !this.before.firstChild) return
        this.before.replaceChildren(...(content ? [content] : []))
        this.draw()
    }

    /** @param {HTMLElement} element to stand over the cards, after them in the order of the keyboard */
    beside(element) {
        this.space.after(element)
    }

    firstInView() {
        return this.pitch ? Math.max(0, Math.round((this.element.scrollTop - this.above) / this.pitch)) * this.columns : 0
    }

    /** Brings the elements in line with the scroll position. */
    draw() {
        if (!this.pitch) return
        const top = this.element.scrollTop - this.space.offsetTop
        const first = Math.max(0, Math.floor(top / this.pitch) - AROUND)
        const last = Math.ceil((top + this.element.clientHeight) / this.pitch) + AROUND
        const from = first * this.columns
        const to = Math.min(this.total, last * this.columns)
        for (const [index, element] of this.alive) {
            const held = index === this.focus && element.contains(document.activeElement)
            if ((index < from || index >= to) && !held) this.drop(index, element)
        }
        this.owner.need(from, to)
        for (let index = from; index < to; index++) {
            if (this.alive.has(index)) continue
            const element = this.spare.pop() ?? h("div", { role: "option", tabindex: -1, draggable: false })
            this.alive.set(index, element)
            this.place(element, index)
            this.write(element, index)
            if (!element.isConnected) this.space.append(element)
        }
        for (const element of this.spare) element.remove()
        this.spare.length = 0
    }

    /** @param {number} index @param {HTMLElement} element */
    drop(index, element) {
        this.alive.delete(index)
        this.spare.push(element)
    }

    /** @param {HTMLElement} element @param {number} index */
    place(element, index) {
        const x = (index % this.columns) * (this.column ?? 0)
        const y = Math.floor(index / this.columns) * (this.pitch ?? 0)
        element.style.transform = `translate(${x}px, ${y}px)`
    }

    /** @param {HTMLElement} element @param {number} index */
    write(element, index) {
        element.dataset.index = String(index)
        element.tabIndex = index === this.focus ? 0 : -1
        element.setAttribute("aria-posinset", String(index + 1))
        element.setAttribute("aria-setsize", String(this.total))
        this.owner.fill(element, index)
    }

    /** Fills the cards in view again. @param {(index: number) => boolean} [which] */
    refill(which = () => true) {
        for (const [index, element] of this.alive) if (which(index)) this.write(element, index)
        this.draw()
    }

    empty() {
        for (const element of this.alive.values()) element.remove()
        this.alive.clear()
    }

    /** @param {EventTarget|null} target @returns {number} index of the card at an element, -1 for none */
    indexAt(target) {
        const option = target instanceof Element ? target.closest("[role=option]") : null
        return option instanceof HTMLElement && this.space.contains(option) ? Number(option.dataset.index) : -1
    }

    /** @param {number} index @param {boolean} [take] whether to take the keyboard's focus there */
    setFocus(index, take = true) {
        if (!this.total) return
        const old = this.alive.get(this.focus)
        if (old) old.tabIndex = -1
        this.focus = Math.min(Math.max(0, index), this.total - 1)
        this.show(this.focus)
        const element = this.alive.get(this.focus)
        if (!element) return
        element.tabIndex = 0
        if (take) element.focus({ preventScroll: true })
    }

    /** Scrolls so that a card is in view. @param {number} index */
    show(index) {
        if (!this.pitch) return
        const top = this.above + Math.floor(index / this.columns) * this.pitch
        const list = this.element
        if (top < list.scrollTop) list.scrollTop = top
        else if (top + this.pitch > list.scrollTop + list.clientHeight) list.scrollTop = top + this.pitch - list.clientHeight + 8
        this.draw()
    }

    /**
     * Where a key takes the focus.
     *
     * @param {string} key
     * @returns {number|null} index, `null` for a key that moves nothing
     */
    moved(key) {
        const rows = Math.max(1, Math.floor(this.element.clientHeight / (this.pitch || 1)))
        const steps = {
            ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns,
            PageDown: rows * this.columns, PageUp: -rows * this.columns, Home: -Infinity, End: Infinity,
        }
        const step = /** @type {Record<string, number>} */ (steps)[key]
        if (step === undefined || !this.total) return null
        const to = this.focus + step
        if (Math.abs(step) === this.columns && (to < 0 || to >= this.total)) return this.focus
        return Math.min(Math.max(0, to), this.total - 1)
    }

    close() {
        this.watcher.disconnect()
        this.empty()
    }
}
