/** The dialog of one card: it holds its tabs together, saves, and loses nothing that was typed. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { Conflict } from "./dialog_conflict.mjs?v=0.1.0"
import { Form } from "./dialog_form.mjs?v=0.1.0"
import { HeaderTab } from "./dialog_header.mjs?v=0.1.0"
import { Side } from "./dialog_side.mjs?v=0.1.0"
import { TrainingTab } from "./dialog_training.mjs?v=0.1.0"
import { h, icon, iconButton, renew } from "./dom.mjs?v=0.1.0"
import { Draft, disagreeing } from "./draft.mjs?v=0.1.0"
import { onEvent, toast } from "./host.mjs?v=0.1.0"
import { showDialog } from "./host_dialog.mjs?v=0.1.0"
import { LibraryError, fullCard, saveCard } from "./library.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

const TABS = /** @type {const} */ (["card", "training", "header"])

/** @type {Dialog|null} */ let shown = null

/**
 * Opens the dialog of a card; one that is open already is brought to that card, if nothing in it is unsaved.
 *
 * @param {number} id
 */
export async function openCard(id) {
    if (shown) return shown.leave(() => void openCard(id))
    try {
        const card = await fullCard(id)
        if (!shown) shown = new Dialog(card)
    } catch (error) {
        if (!(error instanceof LibraryError)) throw error
        toast("error", t("notice.failed"), error.status ? error.message : t("blank.offline"))
    }
}

export class Dialog {
    /** @param {import("./library.mjs").FullCard} card */
    constructor(card) {
        this.card = card
        this.draft = new Draft(card.fields)
        /** @type {typeof TABS[number]} */ this.tab = "card"
        /** @type {Conflict|null} */ this.conflict = null
        /** What the status says: nothing, or the outcome of the last save. */
        this.said = { text: "", kind: "" }
        this.saving = false
        /** What is done when the question about unsaved changes was answered. @type {(() => void)|null} */ this.question = null
        this.title = h("h2", { id: "ld-dialog-title" })
        this.sub = h("p.ld-sub")
        this.tabs = h("div.ld-tabs", { role: "tablist", "aria-label": t("dialog.tabs.label"), onKeydown: (/** @type {KeyboardEvent} */ e) => this.tabKey(e) },
            TABS.map(tab => h("button", { type: "button", role: "tab", id: `ld-tab-${tab}`, "aria-controls": "ld-dialog-panel", onClick: () => this.show(tab) }, t(`dialog.tabs.${tab}`))))
        this.panel = h("div.ld-form.ld-scroll", { id: "ld-dialog-panel", role: "tabpanel", tabindex: 0 })
        this.state = h("span.ld-state", { role: "status" })
        this.buttons = h("span.ld-bot__b")
        this.side = new Side(this)
        this.form = new Form(this)
        this.training = new TrainingTab(this)
        this.header = new HeaderTab(this)
        /** @type {HTMLElement} */ this.element = h("div.ld.ld-dlg.ld-edit", { onKeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) },
            h("div.ld-top", null, h("div", null, this.title, this.sub, this.tabs), iconButton("x", t("dialog.close"), { onClick: () => this.leave() })),
            this.panel, h("div.ld-bot", null, this.state, this.buttons), this.side.element)
        this.side.watch(this.element)
        this.ends = [onEvent("lora-deck.changed", change => this.changed(change)), onEvent("lora-deck.hash", hash => this.side.hashing(hash))]
        this.fill()
        this.end = showDialog("edit", this.element, "ld-dialog-title", () => this.form.focus())
    }

    /** Writes everything that shows the card. */
    fill() {
        this.title.textContent = titleOf(this.card.name)
        this.sub.textContent = t("dialog.writes", { name: this.card.sidecar.name })
        this.side.draw()
        this.form.fill()
        this.training.fill()
        this.show(this.tab)
    }

    /** @param {typeof TABS[number]} tab */
    show(tab) {
        this.tab = tab
        for (const button of this.tabs.children) {
            const on = button.id === `ld-tab-${tab}`
            button.setAttribute("aria-selected", String(on))
            button.setAttribute("tabindex", on ? "0" : "-1")
        }
        this.panel.setAttribute("aria-labelledby", `ld-tab-${tab}`)
        const part = this.conflict ?? { card: this.form, training: this.training, header: this.header }[tab]
        if (this.panel.firstElementChild !== part.element) this.panel.replaceChildren(part.element)
        if (tab === "training") this.training.drawPool()
        if (tab === "header" && !this.conflict) this.header.load()
        this.drawState()
    }

    /** A field was changed by the user. @param {string} key @param {any} value */
    typed(key, value) {
        this.draft.set(key, value)
        this.said = { text: "", kind: "" }
        this.side.drawAdult()
        if (key === "activation_text") {
            this.form.drawPool()
            if (this.tab === "training") this.training.drawPool()
        }
        this.drawState()
    }

    get dirty() {
        return this.draft.changed.length > 0
    }

    drawState() {
        const button = (/** @type {string} */ text, /** @type {string} */ kind, /** @type {() => void} */ run, off = false) =>
            h(`button.ld-b.${kind}`, { type: "button", disabled: off, onClick: run }, text)
        const put = (/** @type {Node[]} */ ...buttons) => renew(this.buttons, buttons, () => this.panel.focus({ preventScroll: true }))
        this.state.className = "ld-state"
        if (this.question) {
            this.state.replaceChildren(t("dialog.leave", { name: titleOf(this.card.name) }))
            put(
                button(t("dialog.discard"), "ld-b--quiet", () => this.answered("discard")), button(t("dialog.keep"), "ld-b--line", () => this.answered("keep")),
                button(t("dialog.save"), "ld-b--go", () => this.answered("save")))
        } else if (this.conflict) {
            this.state.replaceChildren(this.conflict.summary())
            put(
                button(t("dialog.keep"), "ld-b--quiet", () => this.endConflict()), button(t("dialog.take_all"), "ld-b--line", () => this.takeAll()),
                button(t("dialog.save_these"), "ld-b--go", () => void this.saveChosen()))
        } else {
            const { dirty } = this
            const unsaved = this.draft.changed.length
            const text = this.saving ? t("dialog.saving") : dirty && !this.said.text ? count("dialog.unsaved", unsaved, { words: t(`dialog.numbers.${unsaved}`) }) : this.said.text
            if (this.said.kind) this.state.classList.add(this.said.kind)
            else if (dirty) this.state.classList.add("is-dirty")
            this.state.replaceChildren(...(this.said.kind === "is-saved" ? [icon("check")] : this.said.kind ? [icon("bad")] : []), text)
            const wrong = this.form.wrong
            put(
                dirty ? button(t("dialog.discard"), "ld-b--quiet", () => this.discard(), this.saving) : button(t("dialog.close"), "ld-b--quiet", () => this.leave()),
                button(t("dialog.save"), "ld-b--go", () => void this.save(), !dirty || this.saving || Boolean(wrong)))
            if (wrong) this.state.replaceChildren(wrong)
        }
    }

    discard() {
        this.draft = new Draft(this.card.fields)
        this.said = { text: "", kind: "" }
        this.fill()
        this.form.focus()
    }

    // ── saving ──────────────────────────────────────────────────────────────────────────────────────────────

    /** @returns {Promise<boolean>} whether everything is saved */
    async save() {
        if (!this.dirty || this.saving || this.form.wrong) return !this.dirty
        const changes = this.draft.changes
        this.saving = true
        this.said = { text: "", kind: "" }
        this.drawState()
        try {
            const answer = await saveCard(this.card.id, this.card.sidecar.version, changes)
            this.take(answer.card, changes)
            this.said = { text: t("dialog.saved", { name: answer.saved }), kind: "is-saved" }
            return true
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            if (error.status === 409 && error.body?.theirs) this.meet(error.body)
            else this.said = { text: error.status ? error.message : t("dialog.offline"), kind: "is-bad" }
            return false
        } finally {
            this.saving = false
            this.drawState()
        }
    }

    /**
     * Takes a card from disk; what was typed since stays.
     *
     * @param {import("./library.mjs").FullCard} card
     * @param {Record<string, any>} written what this dialog has just saved
     */
    take(card, written = {}) {
        const typed = this.draft.changes
        for (const [key, value] of Object.entries(written)) if (JSON.stringify(typed[key]) === JSON.stringify(value)) delete typed[key]
        this.card = card
        this.draft = new Draft(card.fields)
        for (const [key, value] of Object.entries(typed)) this.draft.set(key, value)
        this.fill()
    }

    /** The sidecar is another one by now. @param {{yours: Record<string, any>, theirs: Record<string, any>, version: string, saved_at: number|null}} body */
    meet(body) {
        const keys = disagreeing(body.yours, body.theirs)
        this.card = { ...this.card, sidecar: { ...this.card.sidecar, version: body.version } }
        if (!keys.length) return void this.fetchAgain()
        this.conflict = new Conflict(this, keys, body)
        this.show("card")
        this.conflict.focus()
    }

    endConflict() {
        this.conflict = null
        this.fetchAgain()
    }

    takeAll() {
        for (const key of this.conflict?.keys ?? []) this.draft.set(key, this.conflict?.theirs[key])
        this.endConflict()
    }

    async saveChosen() {
        const chosen = this.conflict?.chosen() ?? {}
        for (const [key, value] of Object.entries(chosen)) this.draft.set(key, value)
        this.conflict = null
        await this.fetchAgain()
        await this.save()
    }

    /** Reads the card from disk again; what was typed stays. */
    async fetchAgain() {
        try {
            this.take(await fullCard(this.card.id))
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            this.said = { text: error.status ? error.message : t("dialog.offline"), kind: "is-bad" }
            this.show(this.tab)
        }
    }

    /** The library changed, here or in another tab. @param {{ids?: number[]}} change */
    async changed({ ids }) {
        if (this.saving || this.conflict || (ids && !ids.includes(this.card.id))) return
        const card = await fullCard(this.card.id).catch(() => null)
        if (!card || this.saving || this.conflict) return
        if (card.sidecar.version === this.card.sidecar.version) {
            this.card = { ...card, fields: this.card.fields }
            return this.side.draw()
        }
        // With something typed, the old version stays: saving then shows both.
        if (!this.dirty) this.take(card)
        else {
            this.said = { text: t("dialog.changed_elsewhere"), kind: "is-warn" }
            this.drawState()
        }
    }

    // ── leaving, keys ───────────────────────────────────────────────────────────────────────────────────────

    /** Closes, and then does something; asks if there is something unsaved. @param {() => void} [then] */
    leave(then = () => undefined) {
        if (this.dirty || this.conflict) {
            this.question = then
            this.drawState()
            return void this.buttons.querySelectorAll("button")[1]?.focus()
        }
        this.close()
        then()
    }

    /** @param {"discard"|"keep"|"save"} answer */
    async answered(answer) {
        const then = this.question
        this.question = null
        if (answer === "keep") {
            this.drawState()
            return this.conflict ? this.conflict.focus() : this.form.focus()
        }
        if (answer === "save" && this.conflict) return this.saveChosen()
        if (answer === "save" && !(await this.save())) return
        this.close()
        then?.()
    }

    close() {
        for (const end of this.ends) end()
        this.end()
        shown = null
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const control = event.ctrlKey || event.metaKey
        if (control && (event.key === "Enter" || event.key.toLowerCase() === "s")) void (this.conflict ? this.saveChosen() : this.save())
        else if (event.key === "Escape") {
            if (this.question) void this.answered("keep")
            else this.leave()
        } else if (!(control && event.key.toLowerCase() === "a" && !/** @type {Element} */ (event.target).matches("input, textarea"))) return event.stopPropagation()
        event.preventDefault()
        event.stopPropagation()
    }

    /** @param {KeyboardEvent} event */
    tabKey(event) {
        const now = TABS.indexOf(this.tab)
        const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: TABS.length - 1 }[event.key]
        if (to === undefined) return
        event.preventDefault()
        const next = TABS[(to + TABS.length) % TABS.length]
        this.show(next)
        document.getElementById(`ld-tab-${next}`)?.focus()
    }
}
