/** The file's header as it is, searched and copied. */

import { copyAndSay } from "./clipboard.mjs?v=0.1.0"
import { h, icon } from "./dom.mjs?v=0.1.0"
import { LibraryError, fileHeader } from "./library.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** Rows drawn at once, and characters of a value: a header can have megabytes. */
const ROWS = 100
const CHARACTERS = 400
const AROUND = 60

export class HeaderTab {
    /** @param {import("./dialog.mjs").Dialog} dialog */
    constructor(dialog) {
        this.dialog = dialog
        /** @type {{key: string, value: string, low: string, lowValue: string}[]|null} */ this.rows = null
        /** @type {any} */ this.metadata = null
        this.asked = false
        this.most = ROWS
        this.search = h("input", { type: "text", role: "searchbox", "aria-label": t("dialog.search_header"), placeholder: t("dialog.search_header"), autocomplete: "off", spellcheck: false,
            onInput: () => {
                this.most = ROWS
                this.draw()
            } })
        this.many = h("span.ld-muted.ld-num")
        this.copied = h("span.ld-vh", { role: "status" })
        this.body = h("tbody")
        this.more = h("button.ld-link", { type: "button", hidden: true, onClick: () => {
            this.most += ROWS
            this.draw()
        } })
        this.element = h("div.ld-part", null,
            h("div.ld-line", null, h("div.ld-field.ld-grow", null, icon("search"), this.search, this.many),
                h("button.ld-b", { type: "button", onClick: () => void this.copy() }, icon("copy"), t("dialog.copy_json")), this.copied),
            h("table.ld-kv", null, h("caption.ld-vh", null, t("dialog.tabs.header")), this.body), this.more)
    }

    /** Reads the header once. */
    async load() {
        if (this.asked) return
        this.asked = true
        try {
            const { metadata, tensors } = await fileHeader(this.dialog.card.id)
            this.metadata = metadata
            const pairs = [...Object.entries(metadata), ...Object.entries(tensors).map(([key, shape]) => [key, shape.length ? shape.join(" × ") : t("dialog.scalar")])]
            this.rows = pairs.map(([key, value]) => ({ key, value, low: key.toLowerCase(), lowValue: value.toLowerCase() }))
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            this.asked = false
            return this.body.replaceChildren(h("tr", null, h("td", { colspan: 2 }, error.status ? error.message : t("dialog.offline"))))
        }
        this.draw()
    }

    draw() {
        if (!this.rows) return
        const wanted = this.search.value.trim().toLowerCase()
        const found = wanted ? this.rows.filter(row => row.low.includes(wanted) || row.lowValue.includes(wanted)) : this.rows
        this.many.textContent = t("dialog.of", { found: found.length, all: this.rows.length })
        this.body.replaceChildren(...found.slice(0, this.most).map(row => this.row(row, wanted)))
        if (!this.rows.length) this.body.replaceChildren(h("tr", null, h("td", { colspan: 2 }, t("dialog.no_header"))))
        const rest = found.length - this.most
        this.more.hidden = rest <= 0
        this.more.textContent = t("dialog.more_rows", { count: Math.max(0, rest) })
    }

    /** @param {{key: string, value: string, lowValue: string}} row @param {string} wanted */
    row({ key, value, lowValue }, wanted) {
        const cell = h("td")
        const short = around(value, wanted ? lowValue.indexOf(wanted) : 0)
        cell.append(...marked(short, wanted))
        if (short.length < value.length) cell.append(" ", h("button.ld-link", { type: "button", onClick: () => cell.replaceChildren(...whole(value)) }, t("dialog.show_all", { count: value.length })))
        return h("tr", null, h("th", { scope: "row" }, marked(key, wanted)), cell)
    }

    async copy() {
        this.copied.textContent = await copyAndSay(JSON.stringify(this.metadata ?? {}, null, 2))
    }
}

/** The beginning of a long value, or what stands around a place in it. @param {string} value @param {number} at */
function around(value, at) {
    if (value.length <= CHARACTERS) return value
    const start = Math.max(0, at - AROUND)
    return `${start ? "…" : ""}${value.slice(start, start + CHARACTERS)}…`
}

/** @param {string} text @param {string} wanted @returns {Node[]} */
function marked(text, wanted) {
    /** @type {Node[]} */ const parts = []
    const low = text.toLowerCase()
    let from = 0
    // Lower case may be longer than the text in a few scripts; then nothing is marked.
    for (let at = wanted && low.length === text.length ? low.indexOf(wanted) : -1; at >= 0; at = low.indexOf(wanted, from)) {
        parts.push(document.createTextNode(text.slice(from, at)), h("mark", null, text.slice(at, at + wanted.length)))
        from = at + wanted.length
    }
    return [...parts, document.createTextNode(text.slice(from))]
}

/** A whole value in pieces that the browser lays out only when they are looked at. @param {string} value @returns {Node[]} */
function whole(value) {
    const piece = 4000
    return Array.from({ length: Math.ceil(value.length / piece) }, (_, at) => h("span.ld-kv__piece", null, value.slice(at * piece, (at + 1) * piece)))
}
