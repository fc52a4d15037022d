/**
 * Dragging cards out of the sidebar. One pair of listeners on the window, before the host's own: what they take never
 * reaches it, and where nothing fits the browser's cursor says so.
 *
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {import("./drag_plan.mjs").Target} Target
 */

import { fault, titleOf } from "./card.mjs?v=0.1.0"
import { drop } from "./drag_drop.mjs?v=0.1.0"
import { targetAt, wordsFor } from "./drag_plan.mjs?v=0.1.0"
import { h } from "./dom.mjs?v=0.1.0"
import { insertAt, tagFor } from "./insert.mjs?v=0.1.0"
import { pictureOf } from "./rows_row.mjs?v=0.1.0"
import { rowsOfCards } from "./rows.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

const MIME = "application/x-lora-deck-cards"

/** @typedef {{cards: Card[], rows: Promise<import("./rows_value.mjs").Row[]>}} Load */

/** @type {Load|null} what is dragged */ let load = null
/** @type {HTMLElement|null} */ let ring = null
/** @type {import("./rows.mjs").RowsWidget|null} that shows a line */ let lined = null

/** @returns {import("./deck.mjs").Deck|null} */
const deck = () => /** @type {any} */ (document.querySelector("lora-deck"))?.deck ?? null

/** @param {Element} option @returns {Card[]} the card, or all that are picked with it; only what can be used */
function cardsAt(option) {
    const card = deck()?.gestures.at(option).card
    if (!card) return []
    const cards = state.picked.has(card.id) ? [...state.picked.values()] : [card]
    return cards.flatMap(each => (each && !fault(each) && each.state === "present" ? [each] : []))
}

/** Called once. */
export function watchDrags() {
    document.addEventListener("pointerdown", event => {
        const option = event.target instanceof Element ? event.target.closest("lora-deck [role=option]") : null
        if (option instanceof HTMLElement) option.draggable = true
    }, true)
    document.addEventListener("dragstart", event => {
        const option = event.target instanceof Element ? event.target.closest("lora-deck [role=option]") : null
        if (option instanceof HTMLElement) start(event, option)
    }, true)
    window.addEventListener("dragover", over, true)
    window.addEventListener("drop", event => void dropped(event), true)
    window.addEventListener("dragend", end, true)
    window.addEventListener("dragleave", event => {
        if (load && !event.relatedTarget) unmark()
    }, true)
}

/** @param {DragEvent} event @param {HTMLElement} option */
function start(event, option) {
    const cards = cardsAt(option)
    if (!event.dataTransfer || !cards.length) return event.preventDefault()
    load = { cards, rows: rowsOfCards(cards) }
    deck()?.flyout.close()
    event.dataTransfer.effectAllowed = "copy"
    event.dataTransfer.setData(MIME, JSON.stringify(cards.map(card => card.id)))
    const named = cards.map(card => `<lora:${card.insert}:1>`).join(" ")
    event.dataTransfer.setData("text/plain", named)
    const ghost = h("div.ld-ghost", { style: { left: "-400px", top: "0" } },
        cards.slice(0, 2).map(card => h("div.ld-pic", null, pictureOf(card.name, { card, problem: "", candidates: [] }))),
        cards.length > 1 && h("span.ld-count", null, String(cards.length)))
    const holder = h("div.ld", { style: { position: "static" }, "aria-hidden": true }, ghost)
    document.body.append(holder)
    event.dataTransfer.setDragImage(ghost, 44, 44)
    setTimeout(() => holder.remove(), 0)
}

function end() {
    load = null
    unmark()
}

function unmark() {
    ring?.parentElement?.remove()
    ring = null
    lined?.hint(null)
    lined = null
}

/** @param {Target} target @param {number} cards */
function mark(target, cards) {
    unmark()
    const { x, y, width, height } = target.box
    ring = h("div.ld-drop", { class: target.kind === "new" ? "ld-drop--new" : "", style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` } },
        h("span.ld-drop__t", null, wordsFor(target, cards)))
    document.body.append(h("div.ld", { style: { position: "static" } }, ring))
    if (target.kind === "rows") {
        lined = target.rows
        lined.hint(target.at)
    } else if (target.kind === "text") {
        target.area.focus({ preventScroll: true })
        target.area.setSelectionRange(target.at, target.at)
    }
}

/** @param {DragEvent} event */
const isOurs = event => Boolean(load && event.dataTransfer?.types.includes(MIME))

/** @param {DragEvent} event */
function over(event) {
    if (!load || !event.dataTransfer || !isOurs(event)) return
    event.stopImmediatePropagation()
    const target = targetAt(event, load.cards)
    if (!target) {
        event.dataTransfer.dropEffect = "none"
        return unmark()
    }
    event.preventDefault()
    event.dataTransfer.dropEffect = "copy"
    mark(target, load.cards.length)
}

/** @param {DragEvent} event */
async function dropped(event) {
    if (!load || !isOurs(event)) return
    event.preventDefault()
    event.stopImmediatePropagation()
    const { cards, rows } = load
    const target = targetAt(event, cards)
    end()
    if (!target) return
    if (target.kind === "text") await intoText(target.field, target.at, cards)
    else {
        await drop(target, await rows)
        tell(target, cards)
    }
    if (state.picked.size) update({ picked: new Map() })
}

/** @param {Target} target @param {Card[]} cards */
function tell(target, cards) {
    const names = cards.length === 1 ? titleOf(cards[0].name) : count("notice.cards", cards.length)
    deck()?.foot.notice([t(target.kind === "new" || target.kind === "join" ? "drag.added" : "drag.done", { names })])
}

/** @param {import("./flow.mjs").Field} field @param {number} at @param {Card[]} cards */
async function intoText(field, at, cards) {
    const gestures = deck()?.gestures
    const outcome = await insertAt(cards, await Promise.all(cards.map(tagFor)), field, at, gestures ? chosen("Connect") : "insert")
    if (!gestures) return
    if ("plan" in outcome) gestures.ask(outcome.plan, answer => answer && gestures.follow(outcome.go(answer === "connect")), true)
    else gestures.done(outcome)
}
