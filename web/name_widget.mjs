/** The widget of a LoRA's name: its card, and the search when it is pressed. */

import { cutInTheMiddle, titleOf } from "./card.mjs?v=0.1.0"
import { actOnCard, canActOnCard } from "./card_acts.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { spelling } from "./insert.mjs?v=0.1.0"
import { knownMeaning, meaningOf } from "./meanings.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { openPicker } from "./picker.mjs?v=0.1.0"
import { hueOf } from "./placeholder.mjs?v=0.1.0"
import { pictureOf } from "./rows_row.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

export const NAME_HEIGHT = 60

/** @type {Set<WeakRef<NameWidget>>} */ const living = new Set()

/** After a change of the library. */
export function redrawNames() {
    for (const reference of living) {
        const widget = reference.deref()
        if (widget) widget.draw()
        else living.delete(reference)
    }
}

export class NameWidget {
    /** @param {(name: string) => void} commit one step of the undo history, which comes back by `set` */
    constructor(commit) {
        this.commit = commit
        this.name = ""
        this.element = h("div.ld.ld-wid.ld-name1", { style: { "min-height": `${NAME_HEIGHT}px` } })
        living.add(new WeakRef(this))
        this.draw()
    }

    /** @param {any} name */
    set(name) {
        this.name = typeof name === "string" ? name : String(name ?? "")
        this.draw()
    }

    async draw() {
        const { name } = this
        const meaning = name ? knownMeaning(name) : undefined
        const held = this.element.contains(document.activeElement) ? document.activeElement?.getAttribute("data-at") : null
        const title = titleOf(name)
        const card = meaning?.card
        const problem = meaning?.problem ? t(`rows.${meaning.problem}`) : ""
        const base = card ? [card.architecture || t("deck.unknown"), card.ranks && t("rows.rank", { rank: [...new Set(card.ranks)].join("–") })].filter(Boolean).join(" · ") : ""
        const choose = h("button.ld-name1__b", {
            type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", "data-at": "choose", title: name || t("names.choose"),
            "aria-label": name ? t("names.chosen", { name: [title, problem].filter(Boolean).join(", ") }) : t("names.choose"), onClick: () => this.choose(choose),
            onKeydown: (/** @type {KeyboardEvent} */ event) => {
                if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey || event.key === " ") return
                event.preventDefault()
                this.choose(choose, event.key)
            },
        }, h("div.ld-pic", { "aria-hidden": true }, name ? pictureOf(name, meaning) : icon("search")),
        h("div", { style: { "min-width": 0 } }, name ? cutInTheMiddle(title) : t("names.choose"),
            problem ? h("div.ld-nc__w", null, problem) : h("div.ld-meta", null, card && h("i.ld-dot", { style: { "--h": hueOf(card.architecture) } }), h("span.ld-trunc", null, base))),
        icon("down", "ld-i--12"))
        this.element.classList.toggle("is-gone", Boolean(problem))
        this.element.replaceChildren(choose, ...(meaning?.candidates.length ? [h("button.ld-b.ld-b--28", { type: "button", "data-at": "which",
            onClick: (/** @type {Event} */ e) => this.which(/** @type {HTMLElement} */ (e.currentTarget), meaning.candidates) }, t("rows.ambiguous_do"))] : []),
        ...(card && canActOnCard("edit") ? [iconButton("edit", t("menu.edit"), { "data-at": "edit", onClick: () => actOnCard("edit", card) })] : []))
        if (held) /** @type {HTMLElement|null} */ (this.element.querySelector(`[data-at="${held}"]`))?.focus({ preventScroll: true })
        if (!name || meaning) return
        await meaningOf(name)
        if (this.name === name && knownMeaning(name)) void this.draw()
    }

    /** @param {HTMLElement} at @param {string} [typed] */
    choose(at, typed = "") {
        openPicker({ label: t("names.choose"), at, typed, take: async card => this.commit(await spelling(card)) })
    }

    /** @param {HTMLElement} at @param {string[]} candidates */
    which(at, candidates) {
        openMenu(t("rows.which"), candidates.map(path => ({ text: path, run: () => this.commit(path) })), at)
    }
}
