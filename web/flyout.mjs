/** What is known about the card under the pointer, beside the sidebar. */

import { fault, isVideo, picture, titleOf, video } from "./card.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { hueOf } from "./placeholder.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { bytes, count, t } from "./words.mjs?v=0.1.0"

const STAY_MS = 220
const WIDTH = 320
const STEP = 0.05

/**
 * @typedef {object} Actions
 * @property {(card: import("./library.mjs").Card) => string|null} weight in the prompt
 * @property {(card: import("./library.mjs").Card) => boolean} blurred
 * @property {(card: import("./library.mjs").Card) => void} unblur
 * @property {(card: import("./library.mjs").Card) => void} toggle
 * @property {(card: import("./library.mjs").Card, step: number) => void} step
 * @property {(card: import("./library.mjs").Card) => void} edit
 */

export class Flyout {
    /** @param {Actions} actions */
    constructor(actions) {
        this.actions = actions
        /** @type {any} */ this.element = null
        /** @type {import("./library.mjs").Card|null} */ this.card = null
        /** @type {HTMLElement|null} */ this.beside = null
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.opening = undefined
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.closing = undefined
    }

    /** @param {import("./library.mjs").Card} card @param {HTMLElement} element */
    soon(card, element) {
        const delay = Number(chosen("FlyoutDelay"))
        clearTimeout(this.opening)
        clearTimeout(this.closing)
        if (delay < 0 || (this.element && this.card?.id === card.id)) return
        this.opening = setTimeout(() => element.isConnected && this.open(card, element), this.element ? 60 : delay)
    }

    later() {
        clearTimeout(this.opening)
        clearTimeout(this.closing)
        if (this.element) this.closing = setTimeout(() => this.close(), STAY_MS)
    }

    close() {
        clearTimeout(this.opening)
        clearTimeout(this.closing)
        this.element?.remove()
        this.element = null
        this.card = null
    }

    /** @param {import("./library.mjs").Card} card @param {HTMLElement} beside */
    open(card, beside) {
        this.close()
        this.card = card
        this.beside = beside
        this.element = h("div.ld.ld-pop.ld-fly", {
            role: "group", "aria-label": t("flyout.about", { name: titleOf(card.name) }),
            onPointerenter: () => clearTimeout(this.closing), onPointerleave: () => this.later(),
            onKeydown: (/** @type {KeyboardEvent} */ event) => {
                event.stopPropagation()
                if (event.key === "Escape") this.close()
            },
        })
        document.body.append(this.element)
        this.draw()
    }

    /** Writes the card that is shown again. @param {import("./library.mjs").Card} [card] */
    draw(card) {
        const element = this.element
        if (card) this.card = card
        if (!element || !this.card) return
        const shown = this.card
        const on = this.actions.weight(shown)
        const blurred = this.actions.blurred(shown)
        const look = { on: null, picked: false, blurred, size: /** @type {const} */ ("large") }
        /** @type {HTMLElement} */ const pic = picture({ ...shown, favourite: false }, look)
        if (isVideo(shown) && !blurred && !fault(shown)) pic.append(video(shown))
        const facts = [shown.folder.replaceAll("/", " / "), bytes(shown.size), shown.uses > 0 && count("flyout.used", shown.uses)]
        const ranks = shown.ranks ? ` · ${t("flyout.rank", { rank: shown.ranks[0] === shown.ranks[1] ? String(shown.ranks[0]) : `${shown.ranks[0]}–${shown.ranks[1]}` })}` : ""
        const tags = /** @type {string[]} */ (shown.fields.tags ?? [])
        const problems = shown.problems.map(problem => h("p.ld-hint", null, problem.reason))
        const held = element.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : null
        const can = !fault(shown) && shown.state === "present"
        element.replaceChildren(pic, h("div.ld-fly__b", null,
            h("div", null, h("h3", null, titleOf(shown.name)), h("p.ld-fly__p", null, facts.filter(Boolean).join(" · "))),
            h("div.ld-tags", null,
                h("span.ld-tag", null, h("i.ld-dot", { style: { "--h": hueOf(shown.architecture) } }), shown.architecture || t("deck.unknown")),
                shown.family && h("span.ld-tag", null, shown.family + ranks),
                tags.slice(0, 8).map(tag => h("span.ld-tag", null, tag))),
            problems,
            shown.fields.activation_text && h("p.ld-fly__act", null, shown.fields.activation_text),
            on !== null && h("div.ld-fly__in", null, h("span", null, t("flyout.at")),
                h("span.ld-step", { role: "group", "aria-label": t("flyout.weight") },
                    iconButton("minus", t("flyout.less"), { class: "ld-ib--28", "data-key": "less", onClick: () => this.actions.step(shown, -STEP) }),
                    h("output", null, on),
                    iconButton("plus", t("flyout.more"), { class: "ld-ib--28", "data-key": "more", onClick: () => this.actions.step(shown, STEP) }))),
            h("div.ld-fly__go", null,
                can && h("button.ld-b.ld-b--28", { type: "button", "data-key": "toggle", onClick: () => this.actions.toggle(shown) },
                    icon("text"), t(on === null ? "flyout.insert" : "flyout.take_out")),
                h("button.ld-b.ld-b--28", { type: "button", "data-key": "edit", onClick: () => this.actions.edit(shown) }, icon("edit"), t("flyout.edit")),
                blurred && h("button.ld-b.ld-b--28", { type: "button", onClick: () => this.actions.unblur(shown) }, icon("eyeoff"), t("flyout.show")))))
        if (held) /** @type {HTMLElement|null} */ (element.querySelector(`[data-key="${held}"]`))?.focus()
        this.place()
    }

    place() {
        const { element, beside } = this
        if (!element || !beside?.isConnected) return
        const deck = (beside.closest("lora-deck") ?? beside).getBoundingClientRect()
        const card = beside.getBoundingClientRect()
        const right = deck.right + 8 + WIDTH <= innerWidth
        element.style.left = `${right ? deck.right + 8 : Math.max(8, deck.left - 8 - WIDTH)}px`
        element.style.top = `${Math.max(8, Math.min(card.top, innerHeight - element.offsetHeight - 8))}px`
    }
}
