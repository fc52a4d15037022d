/** What clicks and keys on cards do. */

import { ActionBar } from "./actions.mjs?v=0.1.0"
import { addCards, canAdd } from "./add_node.mjs?v=0.1.0"
import { fault, titleOf } from "./card.mjs?v=0.1.0"
import { copyTags, openCardMenu } from "./card_menu.mjs?v=0.1.0"
import { openCard } from "./dialog.mjs?v=0.1.0"
import { editMany } from "./dialog_many.mjs?v=0.1.0"
import { h } from "./dom.mjs?v=0.1.0"
import { asOneStep, boxOf, boxOnScreen, currentGraph, elementOf, nodeLooks, replaceText, setSetting, toast } from "./host.mjs?v=0.1.0"
import { parsePrompt } from "./grammar.mjs?v=0.1.0"
import { connect, decline, toggle } from "./insert.mjs?v=0.1.0"
import { APPLY, PARSER } from "./connect.mjs?v=0.1.0"
import { LibraryError } from "./library.mjs?v=0.1.0"
import { cardNamed } from "./meanings.mjs?v=0.1.0"
import { cameByMoving } from "./pointer_rest.mjs?v=0.1.0"
import { pick, pickAll, pickNone, pickRange, pickedCards } from "./selection.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { reweighted } from "./tags.mjs?v=0.1.0"
import { target } from "./target.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./library.mjs").Card} Card */

/** @param {Card[]} cards */
const usable = cards => cards.filter(card => !fault(card) && card.state === "present")

export class Gestures {
    /** @param {import("./deck.mjs").Deck} deck */
    constructor(deck) {
        this.deck = deck
        this.from = 0
        /** @type {{index: number, card: Card|undefined}|undefined} */ this.pressed = undefined
        /** @type {HTMLElement[]} */ this.rings = []
        /** @type {Promise<unknown>} one gesture after the other */ this.running = Promise.resolve()
        const { space, element } = deck.grid
        const add = { icon: /** @type {const} */ ("node"), text: () => t("actions.add_node"), can: (/** @type {Card} */ card) => usable([card]).length > 0 && canAdd(), run: (/** @type {Card} */ card) => this.forThese(card, cards => this.add(cards, "new")) }
        const edit = { icon: /** @type {const} */ ("edit"), text: () => t("actions.edit"), run: (/** @type {Card} */ card) => this.edit([card]) }
        this.bar = new ActionBar([add, edit], (card, button) => this.menu([card], button), () => {
            const { card, option } = this.bar
            if (card && option) deck.flyout.soon(card, option)
        })
        deck.grid.beside(this.bar.element)
        space.addEventListener("pointerdown", event => {
            this.pressed = this.at(event.target)
        })
        space.addEventListener("click", event => this.click(event))
        space.addEventListener("contextmenu", event => this.context(event))
        space.addEventListener("keydown", event => this.key(event))
        const over = (/** @type {PointerEvent} */ event) => this.over(event)
        space.addEventListener("pointerover", event => {
            if (cameByMoving(event)) over(event)
            else space.addEventListener("pointermove", over, { once: true })
        })
        space.addEventListener("pointerleave", () => {
            deck.flyout.later()
            this.bar.later()
        })
        space.addEventListener("focusout", () => this.bar.later())
        space.addEventListener("focusin", event => this.focused(event))
        element.addEventListener("scroll", () => {
            state.scroll = element.scrollTop
            deck.flyout.close()
            this.bar.hide()
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
        const now = this.at(event.target)
        // Another card may have come to this place since it was pressed.
        const card = event.detail && this.pressed?.index === now.index ? this.pressed.card : now.card
        const { index } = now
        if (!card) return
        this.deck.grid.setFocus(index)
        if (event.altKey) return this.forThese(card, cards => this.alt(cards))
        if (event.shiftKey) return void this.told(pickRange(this.deck.list, this.from, index))
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
        if (!state.picked.size) this.bar.show(card, option)
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
        if (!card || !option.matches(":focus-visible")) return
        this.deck.flyout.soon(card, option)
        if (!state.picked.size) this.bar.show(card, option)
    }

    // ── selection ───────────────────────────────────────────────────────────────────────────────────────────

    /** @param {Card} card @param {number} index */
    pick(card, index) {
        this.from = index
        this.bar.hide()
        pick(card)
    }

    /** Does something with the selected cards. @param {(cards: Card[]) => void} run */
    async withPicked(run) {
        const cards = await this.told(pickedCards())
        if (cards?.length) run(cards)
    }

    // ── keys ────────────────────────────────────────────────────────────────────────────────────────────────

    /** Keys anywhere in the panel: none of them reaches the graph, but for undo and redo, which the host sees first. @param {KeyboardEvent} event */
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
        else if (state.picked.size) pickNone()
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
            if (event.shiftKey) this.told(pickRange(this.deck.list, this.from, moved))
            else this.from = moved
        } else if (event.key === "Enter" && card) {
            this.forChosen(card, cards => (event.altKey ? this.alt(cards) : this.act(cards)))
        } else if (event.key === " " && card) this.pick(card, index)
        else if (control && event.key.toLowerCase() === "a") this.told(pickAll(this.deck.list))
        else if (control && event.key.toLowerCase() === "c" && card) this.forChosen(card, cards => void copyTags(this, cards))
        else if (event.key === "F2" && card) this.forChosen(card, cards => this.edit(cards))
        else if ((event.key === "F10" && event.shiftKey) || event.key === "ContextMenu") {
            if (card) this.menuAt(card, /** @type {HTMLElement} */ (event.target))
        } else if (event.key.length === 1 && !control && !event.altKey && event.key !== "/") {
            search.value += event.key
            search.focus()
            this.deck.tools.typed()
        } else return
        event.preventDefault()
    }

    /** The selection where there is one, else the card. @param {Card} card @param {(cards: Card[]) => void} run */
    forChosen(card, run) {
        if (state.picked.size) this.withPicked(run)
        else run([card])
    }

    /** The selection where the card is in it, else the card alone. @param {Card} card @param {(cards: Card[]) => void} run */
    forThese(card, run) {
        if (state.picked.has(card.id)) this.withPicked(run)
        else run([card])
    }

    // ── into the prompt and out of it ───────────────────────────────────────────────────────────────────────

    /** @param {Card[]} cards @param {boolean} [bare] whether tags go in alone */
    act(cards, bare = false) {
        this.running = this.running.then(() => this.actNow(cards, bare))
        return this.running
    }

    /** @param {Card[]} cards @param {boolean} bare */
    async actNow(cards, bare) {
        const { foot } = this.deck
        const good = this.usable(cards)
        if (!good.length) return
        const outcome = await toggle(good, chosen("Connect"), bare)
        if ("plan" in outcome) this.ask(outcome.plan, answer => answer && this.follow(outcome.go(answer === "connect")), true)
        else if ("cards" in outcome) this.done(outcome)
        else foot.notice([t(`notice.${outcome.kind}`)], false)
    }

    /** Those that can be used; says why where none can. @param {Card[]} cards */
    usable(cards) {
        const { foot } = this.deck
        this.unring()
        foot.hideQuestion()
        const good = usable(cards)
        if (!good.length) foot.notice([this.why(cards[0])], false)
        return good
    }

    /** What Alt does with cards. @param {Card[]} cards */
    alt(cards) {
        const what = chosen("AltClick")
        if (what === "tag") return this.act(cards, true)
        return this.add(cards, what)
    }

    /** Adds cards to the graph. @param {Card[]} cards @param {"new"|"last"} where */
    add(cards, where) {
        this.running = this.running.then(async () => {
            const good = this.usable(cards)
            if (!good.length || !canAdd()) return
            await addCards(good, where)
            const names = good.length === 1 ? titleOf(good[0].name) : count("notice.cards", good.length)
            this.deck.foot.notice([t("drag.added", { names })])
            if (state.picked.size) pickNone()
        })
        return this.running
    }

    /** @param {Promise<import("./insert.mjs").Done>} outcome of a question that was answered */
    follow(outcome) {
        this.running = this.running.then(async () => this.done(await outcome))
    }

    /** Asks about a prompt that already has a tag. @param {import("./connect.mjs").Plan} plan */
    askAbout(plan) {
        this.ask(plan, answer => {
            if (answer !== "connect") return void decline(plan.field)
            this.running = connect(plan).then(() => this.deck.foot.notice([t("notice.connected")]))
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
        // It would lie over the places that the question is about.
        this.deck.flyout.close()
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
        if (state.picked.size) pickNone()
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
        if (!plan || plan.graph !== currentGraph()) return
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
        this.bar.hide()
        this.forThese(card, cards => this.menu(cards, { x: event.clientX, y: event.clientY }))
    }

    /** @param {Card} card @param {HTMLElement} element */
    menuAt(card, element) {
        const { x, y, width } = element.getBoundingClientRect()
        this.forThese(card, cards => this.menu(cards, { x: x + width / 2, y: y + 40 }))
    }

    /** @param {Card[]} cards @param {{x: number, y: number}|HTMLElement} at */
    menu(cards, at) {
        openCardMenu(this, cards, at)
    }

    /** Opens the dialog of a card, or of several at once. @param {Card[]} cards */
    edit(cards) {
        this.deck.flyout.close()
        if (cards.length > 1) editMany(cards)
        else void openCard(cards[0].id)
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
