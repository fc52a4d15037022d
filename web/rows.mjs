/** The widget of `LoraStackRows`: a grid of rows that takes the keyboard's focus one row at a time. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { actOnCard, canActOnCard } from "./card_acts.mjs?v=0.1.0"
import { copyText } from "./clipboard.mjs?v=0.1.0"
import { h, icon } from "./dom.mjs?v=0.1.0"
import { printTag } from "./grammar.mjs?v=0.1.0"
import { spelling, weightFor } from "./insert.mjs?v=0.1.0"
import { knownMeaning, meaningOf } from "./meanings.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { openPicker } from "./picker.mjs?v=0.1.0"
import { editBlocks, editHires, editRank, editTags } from "./rows_edit.mjs?v=0.1.0"
import { lift, lineAt, showLine } from "./rows_lift.mjs?v=0.1.0"
import { chipsOf, drawRow, weightsOf } from "./rows_row.mjs?v=0.1.0"
import { changed, emptyRows, entryOf, isOn, moved, readRows, replaced, rowsAsTags, rowsFromTags, tidy, withRows } from "./rows_value.mjs?v=0.1.0"
import { stepOf } from "./weight_field.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

/**
 * @typedef {import("./rows_value.mjs").Row} Row
 * @typedef {import("./rows_value.mjs").Value} Value
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {object} Holder where the widget stands
 * @property {(value: Value, grown: number) => void} commit sets the widget's value, as one step of the undo history, which comes
 *     back by `set`; `grown`: px of height
 * @property {() => void} openDeck
 */

const ROW = 52
const CHIPS = 29
const HEADER = 30
const FOOT = 43
const EMPTY = 155
const MOST_ROWS = 12
export const ROWS_WIDTH = 320

/** @type {Set<WeakRef<RowsWidget>>} */ const living = new Set()

/** After a change of the library: every widget asks again what its names stand for. */
export function redrawRows() {
    for (const reference of living) {
        const widget = reference.deref()
        if (widget) widget.drawSoon()
        else living.delete(reference)
    }
}

/** @type {WeakMap<import("./host.mjs").Widget, RowsWidget>} */ const shownBy = new WeakMap()

/** @param {import("./host.mjs").Widget} widget of the host @param {RowsWidget} shown by it */
export const setRowsOf = (widget, shown) => void shownBy.set(widget, shown)

/** @param {import("./host.mjs").Node} node @returns {RowsWidget|null} the rows that a node shows */
export const rowsOf = node => (node.widgets ?? []).map((/** @type {any} */ widget) => shownBy.get(widget)).find(Boolean) ?? null

/** @param {Card[]} cards @returns {Promise<Row[]>} */
export const rowsOfCards = cards => Promise.all(cards.map(async card =>
    ({ on: true, name: await spelling(card), te: weightFor(card), unet: weightFor(card) })))

export class RowsWidget {
    /** @param {Holder} holder */
    constructor(holder) {
        this.holder = holder
        /** @type {any} what the workflow holds */ this.given = emptyRows()
        /** @type {Value|null} the same, understood; `null` where it is not */ this.value = emptyRows()
        this.focus = 0
        this.held = false
        /** @type {WeakSet<Row>} rows whose link is open although both weights are equal */ this.opened = new WeakSet()
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.drawing = undefined
        this.element = h("div.ld.ld-wid.ld-rw", { role: "group" })
        this.list = h("div.ld-rw__l.ld-scroll", { role: "grid", "aria-label": t("rows.list") })
        this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event))
        this.list.addEventListener("focusin", (/** @type {FocusEvent} */ event) => this.focused(event))
        this.element.addEventListener("focusout", () => this.stale && this.drawSoon())
        this.stale = false
        living.add(new WeakRef(this))
        this.draw()
    }

    get rows() {
        return this.value?.rows ?? []
    }

    // ── value ───────────────────────────────────────────────────────────────────────────────────────────────

    /** Shows another value, as a workflow gives it. @param {any} given */
    set(given) {
        this.given = given
        this.value = readRows(given)
        this.focus = Math.max(0, Math.min(this.focus, this.rows.length - 1))
        this.drawSoon()
    }

    /** Px that the widget wants to show its rows without scrolling, up to twelve of them. */
    get height() {
        return heightOf(this.value)
    }

    /** @param {Value} value */
    commit(value) {
        this.holder.commit(value, heightOf(value) - this.height)
    }

    /** @param {Row[]} rows @param {number} [at] */
    add(rows, at = this.rows.length) {
        if (!this.value || !rows.length) return
        this.focus = at
        this.commit(withRows(this.value, rows, at))
    }

    /** @param {number} index @param {Partial<Row>} patch */
    change(index, patch) {
        const row = this.rows[index]
        if (!row || !this.value) return
        const next = changed(row, patch)
        if (this.opened.has(row)) this.opened.add(next)
        this.commit(replaced(this.value, index, next))
    }

    /** @param {number} index */
    remove(index) {
        if (!this.value) return
        this.focus = Math.max(0, Math.min(index, this.rows.length - 2))
        const last = this.rows.length === 1
        this.commit(replaced(this.value, index, null))
        this.wanted = last ? "add" : `${this.focus}/row`
    }

    /** @param {number} from @param {number} to place among the rows as they are */
    move(from, to) {
        if (!this.value || to < 0 || to > this.rows.length) return
        this.focus = to > from ? to - 1 : to
        if (this.focus === from) return
        this.commit(moved(this.value, from, to))
        this.wanted = `${this.focus}/row`
    }

    // ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────

    /** Not within the event: the focus that it moves would be lost. */
    drawSoon() {
        clearTimeout(this.drawing)
        this.drawing = setTimeout(() => this.draw(), 0)
    }

    draw() {
        const active = this.element.contains(document.activeElement) ? document.activeElement : null
        if (this.held || active instanceof HTMLInputElement) {
            this.stale = true
            return
        }
        this.stale = false
        const held = this.wanted ?? active?.getAttribute("data-at")
        this.wanted = undefined
        const { rows, value } = this
        this.element.setAttribute("aria-label", count("rows.label", rows.length))
        this.element.classList.toggle("is-off", value?.on === false)
        this.element.style.minHeight = `${this.height}px`
        const scroll = this.list.scrollTop
        const add = h("button.ld-rw__add", { type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "data-at": "add",
            disabled: !value, onClick: () => this.pick(add) }, icon("plus"), t("rows.add"))
        if (!value) this.element.replaceChildren(h("div.ld-rw__e", null, icon("bad", "ld-i--20"), h("b", null, t("rows.unread")), h("span.ld-muted", null, t("rows.unread_do"))), add)
        else if (!rows.length) this.element.replaceChildren(this.blank(), add)
        else {
            this.list.replaceChildren(...rows.map((row, index) => this.row(row, index)))
            this.element.replaceChildren(this.header(), this.list, add)
            this.list.scrollTop = scroll
        }
        if (held) /** @type {HTMLElement|null} */ (this.element.querySelector(`[data-at="${held}"]`))?.focus({ preventScroll: !held.endsWith("/row") })
        this.ask()
    }

    /** Asks what names stand for that are not known yet. */
    async ask() {
        const names = new Set(this.rows.map(row => row.name).filter(name => !knownMeaning(name)))
        if (!names.size) return
        await Promise.all([...names].map(meaningOf))
        if (names.size && [...names].some(knownMeaning)) this.drawSoon()
    }

    blank() {
        return h("div.ld-rw__e", null, icon("cards", "ld-i--20"), h("b", null, t("rows.empty")),
            h("button.ld-link", { type: "button", onClick: () => this.holder.openDeck() }, t("rows.open_deck")))
    }

    header() {
        const { rows } = this
        const value = /** @type {Value} */ (this.value)
        const on = rows.filter(isOn).length
        const faults = rows.flatMap((row, i) => (knownMeaning(row.name)?.problem ? [i] : []))
        return h("div.ld-rw__h", null,
            h("button.ld-sw", { type: "button", role: "switch", "aria-checked": value.on, "aria-label": t("rows.whole"), title: t("rows.whole"), "data-at": "whole",
                onClick: () => this.commit({ ...value, on: !value.on }) }, h("i")),
            h("b", null, count("rows.count", rows.length)),
            h("span", null, !value.on ? t("rows.stack_off") : on < rows.length ? t("rows.some_on", { count: on }) : t("rows.all_on")),
            faults.length > 0 && h("button.ld-link", { type: "button", "data-at": "faults", onClick: () => this.go(faults[0]) },
                icon("warn", "ld-i--12"), count("rows.faults", faults.length)))
    }

    /** @param {Row} row @param {number} index */
    row(row, index) {
        const { te, unet } = weightsOf(row)
        const split = te !== unet || this.opened.has(row)
        return drawRow(row, knownMeaning(row.name), { index, current: index === this.focus, split }, {
            change: patch => this.change(index, patch),
            split: () => {
                this.opened.add(row)
                this.drawSoon()
            },
            join: () => {
                this.opened.delete(row)
                if (te !== unet) this.change(index, { te: unet })
                else this.drawSoon()
            },
            menu: at => this.menu(index, at),
            edit: (key, at) => this.edit(index, key, at),
            remedy: at => this.remedy(index, at),
            lift: event => {
                this.held = true
                lift(event, this.list, index, to => {
                    this.held = false
                    if (to !== null) this.move(index, to)
                    else if (this.stale) this.drawSoon()
                })
            },
            leave: () => this.go(index),
            hold: dragging => {
                this.held = dragging
                if (!dragging && this.stale) this.drawSoon()
            },
        })
    }

    // ── drops ───────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {number} y in the window @returns {number} place among the rows */
    placeAt(y) {
        return this.rows.length ? lineAt(this.list, y) : 0
    }

    /** @param {number|null} place where cards would land, `null`: they have gone */
    hint(place) {
        this.element.querySelector(".ld-rw__e")?.classList.toggle("is-over", place !== null)
        if (this.rows.length) showLine(this.list, place)
    }

    // ── keys ────────────────────────────────────────────────────────────────────────────────────────────────

    /** Takes the focus to a row. @param {number} index */
    go(index) {
        const all = this.list.querySelectorAll(":scope > [role=row]")
        const to = all[Math.max(0, Math.min(index, all.length - 1))]
        if (to instanceof HTMLElement) to.focus()
    }

    /** One row and its controls are in the tab order. @param {FocusEvent} event */
    focused(event) {
        const row = /** @type {Element} */ (event.target).closest("[role=row]")
        if (!(row instanceof HTMLElement)) return
        this.focus = Number(row.dataset.index)
        for (const each of this.list.querySelectorAll("[tabindex]")) each.tabIndex = row.contains(each) ? 0 : -1
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const target = /** @type {HTMLElement} */ (event.target)
        const control = event.ctrlKey || event.metaKey
        if (event.isComposing) return
        const index = this.focus
        const row = this.rows[index]
        if (!row) return
        const onRow = target.getAttribute("role") === "row"
        const { te, unet } = weightsOf(row)
        const { key } = event
        if (event.altKey && key === "ArrowUp") this.move(index, index - 1)
        else if (event.altKey && key === "ArrowDown") this.move(index, index + 2)
        else if (key === "ArrowUp" || key === "ArrowDown") this.go(index + (key === "ArrowUp" ? -1 : 1))
        else if (key === "Home") this.go(0)
        else if (key === "End") this.go(this.rows.length - 1)
        else if (key === "F2" && canActOnCard("edit")) void this.onCard("edit", index)
        else if ((key === "F10" && event.shiftKey) || key === "ContextMenu") this.menu(index, target)
        else if (control && key.toLowerCase() === "c") void copyText(printTag(entryOf(row)))
        else if (!onRow || control || event.altKey) return
        else if (key === " ") this.change(index, { on: !isOn(row) })
        else if (key === "Delete" || key === "Backspace") this.remove(index)
        else if (key === "ArrowLeft" || key === "ArrowRight") {
            const step = (key === "ArrowRight" ? 1 : -1) * stepOf(event)
            this.change(index, { te: tidy(te + step), unet: tidy(unet + step) })
        } else if (key === "Enter" || /^[0-9.,-]$/.test(key)) {
            const field = [...target.querySelectorAll("input")].at(-1)
            field?.focus()
            if (field && key !== "Enter") field.value = key
        } else return
        event.preventDefault()
    }

    // ── menus ───────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {HTMLElement} at */
    pick(at) {
        openPicker({ label: t("rows.add"), at, several: true, take: async card => this.add(await rowsOfCards([card])) })
    }

    /** @param {number} index @param {"blocks"|"rank"|"hires"} key @param {HTMLElement} at */
    edit(index, key, at) {
        const editor = { blocks: editBlocks, rank: editRank, hires: editHires }[key]
        editor(this.rows[index], at, patch => this.change(index, patch))
    }

    /** @param {"edit"|"show"} act @param {number} index */
    async onCard(act, index) {
        const { card } = await meaningOf(this.rows[index].name)
        if (card) actOnCard(act, card)
    }

    /** @param {number} index @param {HTMLElement} at */
    remedy(index, at) {
        const meaning = knownMeaning(this.rows[index].name)
        const name = titleOf(this.rows[index].name)
        if (meaning?.candidates.length) {
            return openMenu(t("rows.which"), meaning.candidates.map(path => ({ text: path, run: () => this.change(index, { name: path }) })), at)
        }
        openPicker({ label: t("rows.replace", { name }), at, typed: name, take: async card => this.change(index, { name: await spelling(card) }) })
    }

    /** @param {number} index @param {HTMLElement} at */
    menu(index, at) {
        const row = this.rows[index]
        const card = knownMeaning(row.name)?.card
        openMenu(t("menu.label", { name: titleOf(row.name) }), [
            { text: t("rows.menu_blocks"), icon: "bars", run: () => this.edit(index, "blocks", this.anchor(index)) },
            { text: t("rows.menu_rank"), icon: "layers", run: () => this.edit(index, "rank", this.anchor(index)) },
            { text: t("rows.menu_hires"), icon: "hires", run: () => this.edit(index, "hires", this.anchor(index)) },
            null,
            ...(card && canActOnCard("edit") ? [{ text: t("menu.edit"), icon: /** @type {const} */ ("edit"), key: "F2", run: () => void this.onCard("edit", index) }] : []),
            ...(card ? [{ text: t("menu.show"), icon: /** @type {const} */ ("cards"), run: () => void this.onCard("show", index) }, null] : []),
            { text: t("rows.up"), icon: "up", key: "Alt ↑", run: () => this.move(index, index - 1) },
            { text: t("rows.down"), icon: "low", key: "Alt ↓", run: () => this.move(index, index + 2) },
            { text: t("rows.duplicate"), icon: "copy", run: () => this.add([{ ...row }], index + 1) },
            { text: t("menu.copy_tag"), icon: "copy", key: "Ctrl C", run: () => void copyText(printTag(entryOf(row))) },
            null,
            { text: t("rows.remove"), icon: "trash", key: "Del", run: () => this.remove(index) },
        ], at)
    }

    /** What a box about a row hangs below. @param {number} index @returns {HTMLElement} */
    anchor(index) {
        return /** @type {HTMLElement} */ (this.list.querySelector(`[data-at="${index}/more"]`) ?? this.element)
    }

    async copyTags() {
        if (this.value) await copyText(rowsAsTags(this.value))
    }

    pasteTags() {
        editTags(this.element, text => this.add(rowsFromTags(text)))
    }
}

/** @param {Value|null} value */
function heightOf(value) {
    const rows = value?.rows ?? []
    if (!rows.length) return EMPTY
    const shown = rows.slice(0, MOST_ROWS).map(row => ROW + (chipsOf(row).length ? CHIPS : 0))
    return HEADER + FOOT + shown.reduce((sum, each) => sum + each, 0)
}
