/**
 * The one action bar of the list, moved to the card under the pointer or with the focus. It stands beside the listbox, whose
 * options must hold nothing that can be focused.
 *
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {object} CardButton
 * @property {import("./dom.mjs").IconName} icon
 * @property {() => string} text
 * @property {(card: Card) => void} run
 * @property {(card: Card) => boolean} [can] whether it is shown for a card
 */

import { titleOf } from "./card.mjs?v=0.1.0"
import { h, iconButton } from "./dom.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

const STAY_MS = 120
/** From the card's corner to the bar's, into the picture. */
const INSET = 9

/** @type {CardButton[]} */ const offered = []

/** Puts a button into every card's action bar, first. @param {CardButton} button */
export const offerCardButton = button => void offered.push(button)

export class ActionBar {
    /**
     * @param {CardButton[]} own
     * @param {(card: Card, button: HTMLElement) => void} more opens the menu
     * @param {() => void} stay the pointer is on the bar
     */
    constructor(own, more, stay) {
        this.own = own
        this.more = more
        /** @type {HTMLElement|null} */ this.option = null
        /** @type {Card|null} */ this.card = null
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.leaving = undefined
        /** @type {HTMLElement} */ this.element = h("div.ld-acts", {
            role: "toolbar", hidden: true,
            onPointerenter: () => {
                clearTimeout(this.leaving)
                stay()
            },
            onPointerleave: () => this.later(),
            onFocusout: (/** @type {FocusEvent} */ event) => !this.element.contains(/** @type {Node|null} */ (event.relatedTarget)) && this.later(),
        })
    }

    /** @param {Card} card @param {HTMLElement} option */
    show(card, option) {
        clearTimeout(this.leaving)
        if (this.card?.id === card.id && this.option === option && !this.element.hidden) return
        this.unmark()
        this.card = card
        this.option = option
        option.classList.add("is-hover")
        const buttons = [...offered, ...this.own].filter(({ can }) => !can || can(card)).map(({ icon, text, run }) => iconButton(icon, text(), { class: "ld-ib--28", onClick: () => run(card) }))
        const more = iconButton("more", t("actions.more"), { class: "ld-ib--28", "aria-haspopup": "menu", "aria-expanded": "false", onClick: () => this.more(card, more) })
        this.element.setAttribute("aria-label", t("menu.label", { name: titleOf(card.name) }))
        this.element.replaceChildren(...buttons, more)
        this.element.hidden = false
        this.place()
    }

    /** Into the picture's upper corner; at a row's end in the list. */
    place() {
        const { option, element } = this
        const list = element.parentElement
        if (!option || !list) return
        const from = list.getBoundingClientRect()
        const card = option.getBoundingClientRect()
        const row = option.classList.contains("ld-row")
        const left = row ? card.right - element.offsetWidth - 4 : card.left + INSET
        const top = row ? card.top + (card.height - element.offsetHeight) / 2 : card.top + INSET
        element.style.left = `${left - from.left + list.scrollLeft}px`
        element.style.top = `${top - from.top + list.scrollTop}px`
    }

    later() {
        clearTimeout(this.leaving)
        this.leaving = setTimeout(() => {
            if (!this.element.matches(":hover, :focus-within") && !this.option?.matches(":focus-visible")) this.hide()
        }, STAY_MS)
    }

    hide() {
        clearTimeout(this.leaving)
        this.unmark()
        this.element.hidden = true
        this.card = null
    }

    unmark() {
        this.option?.classList.remove("is-hover")
        this.option = null
    }
}
