/** Choosing a LoRA by searching the library: nothing is listed before it is asked for. */

import { architectureOf, checkpointName } from "./checkpoint.mjs?v=0.1.0"
import { titleOf } from "./card.mjs?v=0.1.0"
import { choiceOf } from "./complete.mjs?v=0.1.0"
import { h, icon } from "./dom.mjs?v=0.1.0"
import { LibraryError, page } from "./library.mjs?v=0.1.0"
import { openPop } from "./pop.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./library.mjs").Card} Card */

const WAIT_MS = 90
const SHOWN = 40

/**
 * @param {object} asked
 * @param {string} asked.label
 * @param {HTMLElement|{x: number, y: number}} asked.at
 * @param {(card: Card) => void} asked.take
 * @param {boolean} [asked.several] whether Shift+Enter takes one and stays open
 * @param {string} [asked.typed] what stands in the search field at first
 */
export function openPicker({ label, at, take, several = false, typed = "" }) {
    /** @type {Card[]} */ let cards = []
    let first = 0
    let asking = 0
    /** @type {string|null} */ let foundFor = null
    /** @type {string|null} */ let fits = null
    /** @type {ReturnType<typeof setTimeout>|undefined} */ let waiting
    const search = h("input", {
        type: "text", role: "combobox", "aria-label": t("picker.search"), "aria-expanded": "true", "aria-controls": "ld-pick-list",
        autocomplete: "off", spellcheck: false, value: typed,
    })
    const note = h("span.ld-muted", { style: { "font-size": "12px" } })
    const list = h("div.ld-scroll", { role: "listbox", id: "ld-pick-list", "aria-label": t("deck.list") })
    const hints = [["↑↓", "picker.choose"], ["Enter", several ? "picker.add" : "picker.take"], ...(several ? [["Shift Enter", "picker.more"]] : [])]
    const pop = openPop(label, at, "ld-ac ld-ac--pick", [
        h("div.ld-field", null, icon("search"), search, note), list,
        h("div.ld-ac__f", { "aria-hidden": true }, hints.map(([key, word]) => h("span", null, h("kbd", null, key), ` ${t(word)}`))),
    ], () => clearTimeout(waiting))

    const choose = (/** @type {number} */ i) => {
        if (!cards.length) return
        first = (i + cards.length) % cards.length
        list.querySelectorAll("[role=option]").forEach((/** @type {Element} */ option, /** @type {number} */ k) => option.setAttribute("aria-selected", String(k === first)))
        list.children[first]?.scrollIntoView({ block: "nearest" })
        search.setAttribute("aria-activedescendant", `ld-pick-${first}`)
    }
    const chooseCard = (/** @type {number} */ i, /** @type {boolean} */ stay) => {
        const card = cards[i]
        if (!card) return
        if (!stay) pop.close()
        take(card)
        if (stay) search.select()
    }
    const show = () => {
        list.replaceChildren(...cards.map((card, i) => {
            const option = choiceOf(card, search.value, `ld-pick-${i}`)
            option.addEventListener("pointermove", () => choose(i))
            option.addEventListener("click", event => chooseCard(i, several && event.shiftKey))
            return option
        }))
        if (!cards.length) list.append(h("p.ld-hint", { style: { padding: "8px" } }, t("picker.none")))
        note.textContent = fits ? t("picker.fits", { name: fits }) : ""
        choose(0)
        pop.place()
    }
    const look = async () => {
        const mine = ++asking
        const text = search.value.trim()
        const order = text ? "most_used" : "recently_used"
        try {
            const name = chosen("FitsCheckpoint") === "off" ? "" : checkpointName()
            fits = name ? await architectureOf(name) : null
            let found = await page({ text, order, descending: true, ...(fits ? { architecture: [fits, ""] } : {}) }, 0, SHOWN)
            if (fits && !found.total) {
                fits = null
                found = await page({ text, order, descending: true }, 0, SHOWN)
            }
            if (mine !== asking) return
            const rank = (/** @type {Card} */ card) => {
                const place = titleOf(card.name).toLowerCase().indexOf(text.toLowerCase())
                return place === 0 ? 0 : place > 0 ? 1 : 2
            }
            cards = found.items.filter((/** @type {Card} */ card) => card.state === "present")
            cards.sort((a, b) => rank(a) - rank(b))
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            if (mine !== asking) return
            cards = []
        }
        foundFor = text
        show()
    }
    /** What is typed counts, also where the list does not show it yet. @param {boolean} stay */
    const takeFirst = async stay => {
        if (foundFor !== search.value.trim()) {
            clearTimeout(waiting)
            await look()
        }
        if (search.isConnected && foundFor === search.value.trim()) chooseCard(first, stay)
    }
    search.addEventListener("input", () => {
        clearTimeout(waiting)
        waiting = setTimeout(look, WAIT_MS)
    })
    search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.isComposing) return
        if (event.key === "ArrowDown") choose(first + 1)
        else if (event.key === "ArrowUp") choose(first - 1)
        else if (event.key === "PageDown") choose(Math.min(first + 6, cards.length - 1))
        else if (event.key === "PageUp") choose(Math.max(first - 6, 0))
        else if (event.key === "Enter") void takeFirst(several && event.shiftKey)
        else return
        event.preventDefault()
    })
    if (typed.length === 1) search.setSelectionRange(1, 1)
    void look()
}
