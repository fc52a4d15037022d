/** The upper rows of the panel: search, filters and view, the chips of what is on, the path and the folder tree. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { drawReleased, h, icon, iconButton, renew } from "./dom.mjs?v=0.1.0"
import { activeChips, chip, filterPopover } from "./filters.mjs?v=0.1.0"
import { crumbs, folderTree, treeView } from "./folders.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { filtersOn, state, update } from "./store.mjs?v=0.1.0"
import { orderName, viewItems } from "./view.mjs?v=0.1.0"
import { count, number, t } from "./words.mjs?v=0.1.0"

const TYPED_MS = 120

export class Tools {
    /** @param {import("./deck.mjs").Deck} deck */
    constructor(deck) {
        this.deck = deck
        this.allTags = false
        this.chipAt = 0
        /** @type {HTMLElement|null} */ this.filterBox = null
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.typing = undefined
        /** @type {HTMLInputElement} */ this.search = h("input", {
            type: "text", role: "searchbox", "aria-label": t("deck.search"), placeholder: t("deck.search_hint"), autocomplete: "off",
            spellcheck: false, onInput: () => this.typed(),
        })
        this.search.value = state.text
        /** @type {any} */ this.clear = iconButton("x", t("deck.clear_search"), { class: "ld-ib--24", onClick: () => {
            update({ text: "" })
            this.search.focus()
        } })
        /** @type {any} */ this.filterButton = iconButton("filter", t("filters.label"), { class: "ld-ib--field", "aria-haspopup": "dialog", "aria-expanded": "false", onClick: () => this.toggleFilters() })
        /** @type {any} */ this.viewButton = iconButton("view", t("view.label"), { class: "ld-ib--field", "aria-haspopup": "menu", "aria-expanded": "false",
            onClick: () => openMenu(t("view.label"), viewItems(), this.viewButton) })
        /** @type {HTMLElement} */ this.element = h("div.ld-tools", null, h("div.ld-field", null, icon("search"), this.search, this.clear), this.filterButton, this.viewButton)
        this.chips = h("div.ld-chips", { role: "group", "aria-label": t("filters.active"), onKeydown: (/** @type {KeyboardEvent} */ event) => this.keyInChips(event), onFocusin: () => this.oneStop() })
        this.path = h("div.ld-path")
        /** @type {HTMLElement} */ this.tree = h("div", { style: { display: "contents" } })
    }

    typed() {
        clearTimeout(this.typing)
        this.clear.hidden = !this.search.value
        this.typing = setTimeout(() => update({ text: this.search.value }), TYPED_MS)
    }

    draw() {
        drawReleased(this, [this.element, this.chips, this.path, this.tree], () => this.drawNow())
    }

    drawNow() {
        this.clear.hidden = !this.search.value
        const on = filtersOn()
        this.filterButton.setAttribute("aria-label", on ? t("filters.label_on", { count: on }) : t("filters.label"))
        this.filterButton.querySelector(".ld-ib__n")?.remove()
        if (on) this.filterButton.append(h("span.ld-ib__n", { "aria-hidden": true }, String(on)))
        const { name, architecture } = this.deck.checkpoint
        const title = titleOf(name)
        const hiding = this.deck.concealed
        const fits = architecture && !state.architectures.length && chip(
            [icon("link", "ld-i--12"), h("span.ld-trunc", null, t("deck.fits", { name: architecture }))], state.fits,
            () => update({ fits: !state.fits }), undefined, { title: t("deck.fits_title", { name: title }) })
        if (fits && hiding) fits.append(h("span.ld-chip__n", null, count("deck.hidden_short", hiding)))
        const chips = [fits, ...activeChips()].filter(Boolean)
        if (chips.length) this.chips.hidden = false
        renew(this.chips, /** @type {Node[]} */ (chips), () => this.filterButton.focus())
        this.chips.hidden = !chips.length
        this.oneStop()
        const direction = t(state.descending ? "view.descending" : "view.ascending")
        renew(this.path, [
            iconButton("tree", t("folders.toggle"), { class: "ld-ib--24", "aria-expanded": String(state.tree), onClick: () => update({ tree: !state.tree }) }),
            crumbs(), h("span.ld-path__n", { role: "status" }, this.deck.list.known ? number(this.deck.list.total) : ""),
            h("button.ld-sort", { type: "button", title: t("view.order"), "aria-label": t("view.order_is", { name: orderName(), direction }), onClick: () => update({ descending: !state.descending }) },
                icon("sort", "ld-i--12"), orderName())])
        this.drawTree()
        if (this.filterBox) this.drawFilters()
    }

    /** The row of chips is one stop of the Tab key: the chip that was in focus last. */
    oneStop() {
        const chips = /** @type {HTMLElement[]} */ ([...this.chips.children])
        const held = chips.findIndex(each => each === document.activeElement)
        if (held >= 0) this.chipAt = held
        this.chipAt = Math.max(0, Math.min(this.chipAt, chips.length - 1))
        chips.forEach((each, i) => (each.tabIndex = i === this.chipAt ? 0 : -1))
    }

    /** @param {KeyboardEvent} event */
    keyInChips(event) {
        const last = this.chips.children.length - 1
        const to = { ArrowRight: this.chipAt + 1, ArrowLeft: this.chipAt - 1, Home: 0, End: last }[event.key]
        if (to === undefined) return
        event.preventDefault()
        const next = /** @type {HTMLElement|undefined} */ (this.chips.children[Math.max(0, Math.min(to, last))])
        next?.focus()
        next?.scrollIntoView({ block: "nearest", inline: "nearest" })
    }

    drawTree() {
        const held = this.tree.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.path : undefined
        const scroll = this.tree.firstElementChild?.scrollTop ?? 0
        if (!state.tree || !this.deck.everything) return this.tree.replaceChildren()
        const tree = treeView(folderTree(this.deck.counted?.folder ?? this.deck.everything.folder))
        this.tree.replaceChildren(tree)
        tree.scrollTop = scroll
        if (held !== undefined) /** @type {HTMLElement|null} */ (tree.querySelector(`[data-path="${CSS.escape(held)}"]`))?.focus()
    }

    toggleFilters() {
        if (this.filterBox) return this.closeFilters()
        this.allTags = false
        /** @type {HTMLElement} */ const box = h("div")
        this.filterBox = box
        this.element.append(box)
        this.filterButton.setAttribute("aria-expanded", "true")
        this.outside = (/** @type {Event} */ event) => {
            const at = /** @type {Node} */ (event.target)
            if (!this.filterBox?.contains(at) && !this.filterButton.contains(at)) this.closeFilters()
        }
        document.addEventListener("pointerdown", this.outside, true)
        this.deck.look(true).then(() => drawReleased(box, [box], () => this.drawFilters(true)))
    }

    closeFilters() {
        if (!this.filterBox) return
        if (this.outside) document.removeEventListener("pointerdown", this.outside, true)
        const held = this.filterBox.contains(document.activeElement)
        this.filterBox.remove()
        this.filterBox = null
        this.filterButton.setAttribute("aria-expanded", "false")
        if (held) this.filterButton.focus()
    }

    drawFilters(first = false) {
        if (!this.filterBox || !this.deck.counted) return
        const held = /** @type {HTMLElement|null} */ (this.filterBox.contains(document.activeElement) ? document.activeElement : null)?.dataset.key
        const scroll = this.filterBox.firstElementChild?.scrollTop ?? 0
        const shown = filterPopover({ ...this.deck.counted, all: this.deck.everything?.total }, this.deck.inGraph.length, this.allTags, () => {
            this.allTags = true
            this.drawFilters()
        })
        this.filterBox.replaceChildren(shown)
        shown.scrollTop = scroll
        const next = held && shown.querySelector(`[data-key="${CSS.escape(held)}"]`)
        if (first || held) /** @type {HTMLElement|null} */ (next || shown.querySelector("button"))?.focus({ preventScroll: true })
    }

    close() {
        clearTimeout(this.typing)
        this.closeFilters()
    }
}
