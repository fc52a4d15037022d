/** What clicks and keys on cards do. */

import { fault, titleOf } from "./card.mjs?v=0.1.0"
import { openCard } from "./dialog.mjs?v=0.1.0"
import { editMany } from "./dialog_many.mjs?v=0.1.0"
import { h } from "./dom.mjs?v=0.1.0"
import { asOneStep, boxOf, boxOnScreen, elementOf, nodeLooks, replaceText, setSetting, toast } from "./host.mjs?v=0.1.0"
import { parsePrompt } from "./grammar.mjs?v=0.1.0"
import { connect, decline, tagFor, toggle } from "./insert.mjs?v=0.1.0"
import { APPLY, PARSER } from "./connect.mjs?v=0.1.0"
import { LibraryError, fullCard, setFavourite, usePreview } from "./library.mjs?v=0.1.0"
import { lastImage } from "./last_image.mjs?v=0.1.0"
import { cardNamed } from "./meanings.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { reweighted } from "./tags.mjs?v=0.1.0"
import { target } from "./target.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./library.mjs").Card} Card */

export class Gestures {
    /** @param {import("./deck.mjs").Deck} deck */
    constructor(deck) {
        this.deck = deck
        this.from = 0
        /** @type {HTMLElement[]} */ this.rings = []
        /** @type {Promise<unknown>} one gesture after the other */ this.running = Promise.resolve()
        const { space, element } = deck.grid
        space.addEventListener("click", event => this.click(event))
        space.addEventListener("contextmenu", event => this.context(event))
        space.addEventListener("keydown", event => this.key(event))
        space.addEventListener("pointerover", event => this.over(event))
        space.addEventListener("pointerleave", () => deck.flyout.later())
        space.addEventListener("focusin", event => this.focused(event))
        element.addEventListener("scroll", () => {
            state.scroll = element.scrollTop
            deck.flyout.close()
        }, { passive: true })
    }

    close() {
        this.unring()
    }

    /** @param {EventTarget|null} at @returns {{index: number, card: Card|undefined}} */
    at(at) {
        const index = this.deck.grid.indexAt(at)
        return { index, card: index < 0 ? undefined : this.deck.list.at(index) }
    }

    /** @param {MouseEvent} event */
    click(event) {
        const { index, card } = this.at(event.target)
        if (!card) return
        this.deck.grid.setFocus(index)
        if (event.shiftKey) return void this.pickRange(index)
        if (event.ctrlKey || event.metaKey || state.picked.size) return this.pick(card, index)
        this.from = index
        this.act([card])
    }

    /** @param {Event} event */
    over(event) {
        const { card } = this.at(event.target)
        const option = /** @type {Element} */ (event.target).closest("[role=option]")
        if (!card || !(option instanceof HTMLElement)) return
        this.deck.flyout.soon(card, option)
        this.deck.play(option, card)
        option.addEventListener("pointerleave", () => option.querySelector("video")?.remove(), { once: true })
    }

    /** @param {FocusEvent} event */
    focused(event) {
        const { index, card } = this.at(event.target)
        if (index < 0) return
        state.focus = index
        if (index !== this.deck.grid.focus) this.deck.grid.setFocus(index, false)
        const option = /** @type {HTMLElement} */ (event.target)
        if (card && option.matches(":focus-visible")) this.deck.flyout.soon(card, option)
    }

    // ── selection ───────────────────────────────────────────────────────────────────────────────────────────

    /** @param {Card} card @param {number} index */
    pick(card, index) {
        const picked = new Map(state.picked)
        if (!picked.delete(card.id)) picked.set(card.id, card)
        this.from = index
        update({ picked })
    }

    /** @param {number} to */
    pickRange(to) {
        const picked = new Map()
        for (let i = Math.min(this.from, to); i <= Math.max(this.from, to); i++) {
            const card = this.deck.list.at(i)
            if (card) picked.set(card.id, card)
        }
        update({ picked })
    }

    // ── keys ────────────────────────────────────────────────────────────────────────────────────────────────

    /** Keys anywhere in the panel: none of them reaches the graph, but for undo and redo. @param {KeyboardEvent} event */
    keyInPanel(event) {
        const { deck } = this
        const inSearch = event.target === deck.tools.search
        const control = event.ctrlKey || event.metaKey
        if ((control && event.key.toLowerCase() === "f") || (event.key === "/" && !(event.target instanceof HTMLInputElement))) {
            event.preventDefault()
            deck.tools.search.focus()
            deck.tools.search.select()
        } else if (event.key === "Escape") this.escape()
        else if (inSearch && event.key === "ArrowDown") {
            event.preventDefault()
            deck.grid.setFocus(0)
        }
        event.stopPropagation()
    }

    escape() {
        const { deck } = this
        if (deck.tools.filterBox) deck.tools.closeFilters()
        else if (deck.flyout.element) deck.flyout.close()
        else if (deck.foot.asking) this.answered(null)
        else if (state.picked.size) update({ picked: new Map() })
        else if (deck.tools.search.value) {
            clearTimeout(deck.tools.typing)
            update({ text: "" })
        }
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const { grid, tools: { search } } = this.deck
        const { index, card } = this.at(event.target)
        const control = event.ctrlKey || event.metaKey
        const moved = control || event.altKey ? null : grid.moved(event.key)
        if (moved !== null) {
            grid.setFocus(moved)
            if (event.shiftKey) this.pickRange(moved)
            else this.from = moved
        } else if (event.key === "Enter" && card) {
            if (state.picked.size) this.act([...state.picked.values()])
            else this.act([card])
        } else if (event.key === " " && card) this.pick(card, index)
        else if (control && event.key.toLowerCase() === "a") this.pickAll()
        else if (control && event.key.toLowerCase() === "c" && card) this.copyTags(state.picked.size ? [...state.picked.values()] : [card])
        else if (event.key === "F2" && card) this.edit(state.picked.size ? [...state.picked.values()] : [card])
        else if ((event.key === "F10" && event.shiftKey) || event.key === "ContextMenu") {
            if (card) this.menuAt(card, /** @type {HTMLElement} */ (event.target))
        } else if (event.key.length === 1 && !control && !event.altKey && event.key !== "/") {
            search.value += event.key
            search.focus()
            this.deck.tools.typed()
        } else return
        event.preventDefault()
    }

    pickAll() {
        const picked = new Map()
        for (const card of this.deck.list.here()) picked.set(card.id, card)
        update({ picked })
    }

    // ── into the prompt and out of it ───────────────────────────────────────────────────────────────────────

    /** @param {Card[]} cards */
    act(cards) {
        this.running = this.running.then(() => this.actNow(cards))
        return this.running
    }

    /** @param {Card[]} cards */
    async actNow(cards) {
        const { foot } = this.deck
        this.unring()
        foot.hideQuestion()
        const usable = cards.filter(card => !fault(card) && card.state === "present")
        const [bad] = cards.filter(card => !usable.includes(card))
        if (!usable.length) return foot.notice([this.why(bad)], false)
        const outcome = await toggle(usable, chosen("Connect"))
        if ("plan" in outcome) this.ask(outcome.plan, answer => answer && this.done(outcome.go(answer === "connect")), true)
        else if ("cards" in outcome) this.done(outcome)
        else foot.notice([t(`notice.${outcome.kind}`)], false)
    }

    /** Asks about a prompt that already has a tag. @param {import("./connect.mjs").Plan} plan */
    askAbout(plan) {
        this.ask(plan, answer => {
            if (answer !== "connect") return void decline(plan.field)
            connect(plan)
            this.deck.foot.notice([t("notice.connected")])
        }, false)
    }

    /**
     * @param {import("./connect.mjs").Plan} plan
     * @param {(answer: "connect"|"insert"|null) => void} act
     * @param {boolean} focus whether to take the keyboard's focus
     */
    ask(plan, act, focus) {
        this.unring()
        this.ring(plan)
        this.answer = (/** @type {"connect"|"insert"|null} */ answer, /** @type {boolean} */ remember) => {
            this.unring()
            if (answer && remember) setSetting("LoRADeck.Connect", answer)
            if (answer === "insert") decline(plan.field)
            act(answer)
            if (focus) this.deck.grid.setFocus(this.deck.grid.focus)
        }
        this.deck.foot.ask((answer, remember) => this.answered(answer, remember), pointing => this.preview(pointing ? plan : null), focus)
    }

    /** @param {"connect"|"insert"|null} answer @param {boolean} [remember] */
    answered(answer, remember = false) {
        this.deck.foot.hideQuestion()
        this.answer?.(answer, remember)
        this.answer = undefined
    }

    /** @param {Card} card */
    why(card) {
        const problem = card.problems.find(p => p.part === "file")
        return problem ? problem.reason : t(`deck.${card.state}`)
    }

    /** @param {import("./insert.mjs").Done} outcome */
    done({ kind, cards, weight }) {
        const { foot, flyout } = this.deck
        const name = h("b", null, cards.length === 1 ? titleOf(cards[0].name) : count("notice.cards", cards.length))
        const [before, after = ""] = t(`notice.${kind}`, { weight }).split("{name}")
        foot.notice(kind === "connected" ? [before] : [before, name, cards.length === 1 || kind === "out" ? after : ""])
        if (state.picked.size) update({ picked: new Map() })
        this.deck.look().then(() => flyout.draw())
    }

    /** @param {import("./connect.mjs").Plan} plan */
    ring({ field }) {
        const area = elementOf(field.node, field.widget)
        const box = area?.getBoundingClientRect() ?? boxOnScreen(boxOf(field.node))
        this.rings.push(this.frame("ld-drop--ask", box))
    }

    /** Shows what would be added, where. @param {import("./connect.mjs").Plan|null} plan */
    preview(plan) {
        while (this.rings.length > 1) this.rings.pop()?.parentElement?.remove()
        if (!plan) return
        for (const [box, type] of /** @type {const} */ ([[plan.parser, PARSER], [plan.apply, APPLY]]))
            if (box) this.rings.push(this.frame("ld-drop--new", boxOnScreen(box), nodeLooks(type).title))
    }

    /** @param {string} kind @param {DOMRect} box in the window @param {string} [title] */
    frame(kind, box, title) {
        // Not over the sidebar, which lies over the canvas.
        const edge = this.deck.root.getBoundingClientRect()
        const x = box.x < edge.right && edge.left < innerWidth / 2 ? Math.min(edge.right + 6, box.right - 24) : box.x
        const { y, height } = box
        const width = box.right - x
        const ring = h("div.ld-drop", { class: kind, style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` } },
            title && h("span.ld-drop__n", null, title))
        document.body.append(h("div.ld", { style: { position: "static" }, "aria-hidden": true }, ring))
        return ring
    }

    unring() {
        for (const ring of this.rings.splice(0)) ring.parentElement?.remove()
    }

    /** Moves the weight that a card has in the prompt. @param {Card} card @param {number} step */
    async step(card, step) {
        const { field } = target()
        if (!field) return
        const text = String(field.widget.value)
        for (const tag of parsePrompt(text).tags.reverse()) {
            if (!tag.entry || (await cardNamed(tag.entry.name))?.id !== card.id) continue
            const edit = reweighted(text, tag, weight => weight + step)
            if (edit) asOneStep(() => replaceText(field.node, field.widget, edit.start, edit.end, edit.text))
            break
        }
        await this.deck.look()
        this.deck.flyout.draw()
    }

    // ── menu ────────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {MouseEvent} event */
    context(event) {
        const { index, card } = this.at(event.target)
        event.preventDefault()
        event.stopPropagation()
        if (!card) return
        this.deck.grid.setFocus(index)
        this.deck.flyout.close()
        this.menu(state.picked.has(card.id) ? [...state.picked.values()] : [card], { x: event.clientX, y: event.clientY })
    }

    /** @param {Card} card @param {HTMLElement} element */
    menuAt(card, element) {
        const { x, y, width } = element.getBoundingClientRect()
        this.menu(state.picked.has(card.id) ? [...state.picked.values()] : [card], { x: x + width / 2, y: y + 40 })
    }

    /** @param {Card[]} cards @param {{x: number, y: number}|HTMLElement} at */
    menu(cards, at) {
        const [card] = cards
        const single = cards.length === 1
        const there = cards.every(each => this.deck.marks.has(each.id))
        const liked = cards.every(each => each.favourite)
        const can = cards.some(each => !fault(each) && each.state === "present")
        const image = single ? lastImage() : null
        openMenu(t("menu.label", { name: single ? titleOf(card.name) : count("notice.cards", cards.length) }), [
            ...(can ? [{ text: t(there ? "menu.take_out" : "menu.insert"), icon: /** @type {const} */ ("text"), key: "Enter", run: () => void this.act(cards) }, null] : []),
            { text: single ? t("menu.edit") : t("menu.edit_many", { count: cards.length }), icon: "edit", key: "F2", run: () => this.edit(cards) },
            { text: t(liked ? "menu.unfavourite" : "menu.favourite"), icon: "star", run: () => this.told(setFavourite(cards.map(c => c.id), !liked)) },
            ...(image ? [{ text: t("menu.preview"), icon: /** @type {const} */ ("image"), run: () => this.setPreview(card, image) }] : []),
            null,
            { text: t("menu.copy_tag"), icon: "copy", key: "Ctrl C", run: () => void this.copyTags(cards) },
            ...(single ? [{ text: t("menu.copy_hash"), icon: /** @type {const} */ ("hash"), run: () => void this.copyHash(card) },
                { text: t("menu.in_tree"), icon: /** @type {const} */ ("tree"), run: () => update({ folder: card.folder, tree: true, text: "" }) }, null,
                { text: t("menu.select"), icon: /** @type {const} */ ("check"), key: t("menu.space"), run: () => this.pick(card, this.deck.grid.focus) }] : []),
        ], at)
    }

    /** Opens the dialog of a card, or of several at once. @param {Card[]} cards */
    edit(cards) {
        this.deck.flyout.close()
        if (cards.length > 1) editMany(cards)
        else void openCard(cards[0].id)
    }

    /** @param {Card[]} cards */
    async copyTags(cards) {
        await navigator.clipboard.writeText((await Promise.all(cards.map(tagFor))).join(" "))
        this.deck.foot.notice([t("notice.copied")], false)
    }

    /** @param {Card} card */
    async copyHash(card) {
        const found = await this.told(fullCard(card.id))
        const hash = found?.hashes?.sha256 ?? found?.autov2
        if (!found) return
        if (hash) await navigator.clipboard.writeText(hash)
        this.deck.foot.notice([t(hash ? "notice.copied" : "notice.no_hash")], false)
    }

    /** @param {Card} card @param {{filename: string, subfolder: string, type: string}} image */
    async setPreview(card, image) {
        try {
            await usePreview(card.id, image, false)
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            if (error.status !== 409) return toast("error", t("notice.failed"), error.message)
            openMenu(t("menu.replace", { name: error.body.exists }), [t("menu.replace", { name: error.body.exists }),
                { text: t("menu.replace_yes"), icon: "image", run: () => void this.told(usePreview(card.id, image, true)) },
                { text: t("menu.replace_no"), icon: "x", run: () => undefined }], this.centre())
        }
    }

    centre() {
        const { left, top } = this.deck.grid.element.getBoundingClientRect()
        return { x: left + 12, y: top + 12 }
    }

    /** @template T @param {Promise<T>} asked @returns {Promise<T|null>} `null` where it failed and the user was told */
    async told(asked) {
        try {
            return await asked
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            toast("error", t("notice.failed"), error.status ? error.message : t("blank.offline"))
            return null
        }
    }
}
