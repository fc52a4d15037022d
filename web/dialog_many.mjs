/** Several cards at once: only what is touched is written, each card by itself. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { VERSIONS, labelled, weightOf } from "./dialog_form.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { showDialog } from "./host_dialog.mjs?v=0.1.0"
import { LibraryError, fullCard, saveCard } from "./library.mjs?v=0.1.0"
import { Tokens } from "./tokens.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

const SHOWN_TAGS = 40

/** @typedef {import("./library.mjs").Card} Card */

/** @type {ManyDialog|null} */ let shown = null

/** @param {Card[]} cards two or more */
export function editMany(cards) {
    shown ??= new ManyDialog(cards)
}

class ManyDialog {
    /** @param {Card[]} cards */
    constructor(cards) {
        this.cards = cards
        this.saving = false
        this.asking = false
        /** @type {Set<string>} */ this.gone = new Set()
        /** @type {""|"yes"|"no"} */ this.adult = ""
        this.title = h("h2", { id: "ld-many-title" }, count("dialog.many.title", cards.length))
        this.add = new Tokens("ld-m-tags", () => this.draw())
        this.version = h("select.ld-select", { id: "ld-m-version", onChange: () => this.draw() }, [["-", t("dialog.many.leave")], ["", t("dialog.none")], ...VERSIONS.map(value => [value, value])]
            .map(([value, text]) => h("option", { value }, text)))
        this.weight = h("input.ld-num", { id: "ld-m-weight", type: "text", inputmode: "decimal", autocomplete: "off", placeholder: t("dialog.many.leave"), onInput: () => this.draw() })
        this.adultly = h("span.ld-seg", { role: "group", "aria-label": t("dialog.adult") }, /** @type {const} */ (["", "yes", "no"]).map(value =>
            h("button", { type: "button", "data-value": value, onClick: () => {
                this.adult = value
                this.draw()
            } }, t(`dialog.many.adult.${value || "leave"}`))))
        this.pool = h("div.ld-pool", { role: "group", "aria-label": t("dialog.many.remove") })
        const counts = new Map()
        for (const card of cards) for (const tag of card.fields.tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1)
        /** @type {[string, number][]} */ this.tags = [...counts].sort((a, b) => b[1] - a[1]).slice(0, SHOWN_TAGS)
        this.state = h("span.ld-state", { role: "status" })
        this.failures = h("div")
        this.buttons = h("span.ld-bot__b")
        const names = cards.slice(0, 6).map(card => titleOf(card.name)).join(", ") + (cards.length > 6 ? ", …" : "")
        this.element = h("div.ld.ld-dlg.ld-many", { onKeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) },
            h("div.ld-top", null, h("div", null, this.title, h("p.ld-sub", null, names)), iconButton("x", t("dialog.close"), { onClick: () => this.leave() })),
            h("div.ld-form.ld-scroll", null, this.failures,
                h("div", null, labelled("ld-m-tags", t("dialog.many.add")), this.add.element),
                this.tags.length > 0 && h("div", null, h("div.ld-lab", null, h("span.ld-l", null, t("dialog.many.remove"))), this.pool),
                h("div.ld-2", null,
                    h("div", null, labelled("ld-m-version", t("fields.sd_version")), h("div.ld-selectbox", null, this.version, icon("down", "ld-i--12"))),
                    h("div", null, labelled("ld-m-weight", t("fields.preferred_weight")), h("div.ld-field", null, this.weight))),
                h("div", null, h("div.ld-lab", null, h("span.ld-l", null, t("dialog.adult"))), this.adultly)),
            h("div.ld-bot", null, this.state, this.buttons))
        this.draw()
        this.end = showDialog("many", this.element, "ld-many-title", () => this.add.input.focus())
    }

    /** @returns {number|null|undefined} `undefined`: untouched, `null`: no number */
    get wanted() {
        return this.weight.value.trim() ? weightOf(this.weight.value) : undefined
    }

    get touched() {
        return this.add.tokens.length > 0 || this.gone.size > 0 || this.version.value !== "-" || this.wanted !== undefined || this.adult !== ""
    }

    draw() {
        this.pool.replaceChildren(...this.tags.map(([tag, many]) => h("button.ld-chip.ld-chip--24", { type: "button", "aria-pressed": String(this.gone.has(tag)), "data-tag": tag, onClick: () => {
            if (!this.gone.delete(tag)) this.gone.add(tag)
            this.draw()
            const chip = /** @type {HTMLElement|null} */ (this.pool.querySelector(`[data-tag="${CSS.escape(tag)}"]`))
            chip?.focus()
        } }, h("span.ld-trunc", null, tag), h("span.ld-chip__n", null, String(many)))))
        for (const button of this.adultly.children) button.setAttribute("aria-pressed", String(button.dataset.value === this.adult))
        const wrong = this.wanted === null
        const button = (/** @type {string} */ text, /** @type {string} */ kind, /** @type {() => void} */ run, off = false) => h(`button.ld-b.${kind}`, { type: "button", disabled: off, onClick: run }, text)
        if (this.asking) {
            this.state.textContent = t("dialog.many.leave_ask")
            this.buttons.replaceChildren(button(t("dialog.discard"), "ld-b--quiet", () => this.close()), button(t("dialog.keep"), "ld-b--line", () => {
                this.asking = false
                this.draw()
                this.add.input.focus()
            }))
            return
        }
        this.state.textContent = wrong ? t("dialog.no_number", { field: t("fields.preferred_weight") }) : this.saving ? t("dialog.saving") : ""
        this.buttons.replaceChildren(button(t("dialog.close"), "ld-b--quiet", () => this.leave(), this.saving),
            button(count("dialog.many.save", this.cards.length), "ld-b--go", () => void this.save(), !this.touched || wrong || this.saving))
    }

    /** What is written for one card, from what it holds now. @param {Record<string, any>} fields */
    changes(fields) {
        /** @type {Record<string, any>} */ const changes = {}
        const adult = (/** @type {string} */ tag) => tag.toLowerCase() === "nsfw"
        let tags = /** @type {string[]} */ (fields.tags).filter(tag => !this.gone.has(tag))
        tags = [...tags, ...this.add.tokens.filter(tag => !tags.includes(tag))]
        if (this.adult === "no") tags = tags.filter(tag => !adult(tag))
        if (this.adult === "yes" && !tags.some(adult)) tags.push("nsfw")
        if (JSON.stringify(tags) !== JSON.stringify(fields.tags)) changes.tags = tags
        if (this.version.value !== "-") changes.sd_version = this.version.value
        if (this.wanted !== undefined) changes.preferred_weight = this.wanted
        return changes
    }

    async save() {
        this.add.add()
        this.saving = true
        this.draw()
        /** @type {[Card, string][]} */ const failed = []
        for (const [at, card] of this.cards.entries()) {
            this.state.textContent = t("dialog.many.progress", { done: at, total: this.cards.length })
            try {
                await this.saveOne(card)
            } catch (error) {
                if (!(error instanceof LibraryError)) throw error
                failed.push([card, error.status ? error.message : t("dialog.offline")])
            }
        }
        this.saving = false
        if (!failed.length) return this.close()
        const saved = this.cards.length - failed.length
        this.cards = failed.map(([card]) => card)
        this.title.textContent = count("dialog.many.title", failed.length)
        this.failures.replaceChildren(h("div.ld-note.ld-note--bad.ld-note--in", { role: "alert" }, icon("bad"), h("div.ld-grow", null,
            h("b", null, t("dialog.many.failed", { failed: failed.length, saved })), failed.slice(0, 20).map(([card, why]) => h("p", null, `${titleOf(card.name)}: ${why}`)))))
        this.draw()
    }

    /** @param {Card} card */
    async saveOne(card) {
        // A card that changes between the two calls is read again: tags are added to what is there.
        for (let again = 2; ; again--) {
            const now = await fullCard(card.id)
            const changes = this.changes(now.fields)
            try {
                if (Object.keys(changes).length) await saveCard(card.id, now.sidecar.version, changes)
                return
            } catch (error) {
                if (!(error instanceof LibraryError) || error.status !== 409 || !again) throw error
            }
        }
    }

    leave() {
        if (!this.touched) return this.close()
        this.asking = true
        this.draw()
        this.buttons.querySelectorAll("button")[1]?.focus()
    }

    close() {
        this.end()
        shown = null
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        event.stopPropagation()
        const control = event.ctrlKey || event.metaKey
        if (control && (event.key === "Enter" || event.key.toLowerCase() === "s")) {
            event.preventDefault()
            if (this.touched && this.wanted !== null && !this.saving) void this.save()
        } else if (event.key === "Escape") {
            event.preventDefault()
            if (this.asking) {
                this.asking = false
                this.draw()
            } else if (!this.saving) this.leave()
        }
    }
}
