/** Completion while a tag is typed in any prompt: names, then weights. The text area keeps the focus. */

import { cutInTheMiddle, isVideo, preferredWeight, titleOf } from "./card.mjs?v=0.1.0"
import { h, hidden } from "./dom.mjs?v=0.1.0"
import { isRead } from "./flow.mjs?v=0.1.0"
import { escapeText } from "./grammar.mjs?v=0.1.0"
import { widgetOf } from "./host.mjs?v=0.1.0"
import { spelling, weightFor } from "./insert.mjs?v=0.1.0"
import { LibraryError, page, thumbnail } from "./library.mjs?v=0.1.0"
import { cardNamed } from "./meanings.mjs?v=0.1.0"
import { hueOf, placeholder } from "./placeholder.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

const NAME = /<(?:lora|lyco):((?:\\[^]|[^\\:<>\n])*)$/i
const WEIGHT = /<(?:lora|lyco):((?:\\[^]|[^\\:<>\n])+):([\d.]*)$/i
const SHOWN = 8
const FETCHED = 40
const WAIT_MS = 90
const WEIGHTS = [0.4, 0.6, 0.8, 1, 1.2]

/** @typedef {{text: string, card: import("./library.mjs").Card|null, value: number}} Choice */

/** @type {HTMLElement|null} */ let box = null
/** @type {HTMLTextAreaElement|null} */ let area = null
/** @type {Choice[]} */ let choices = []
let chosen = 0
/** @type {ReturnType<typeof setTimeout>|undefined} */ let waiting
/** Counts what was asked, so that a late answer is dropped. */
let asked = 0

/**
 * Begins to listen. Called once.
 *
 * @param {(field: import("./flow.mjs").Field) => void} onUnread a tag was completed where nothing reads it
 */
export function watchTags(onUnread) {
    document.addEventListener("input", event => {
        if (!(event.target instanceof HTMLTextAreaElement) || !widgetOf(event.target)) return
        area = event.target
        clearTimeout(waiting)
        waiting = setTimeout(look, WAIT_MS)
    }, true)
    window.addEventListener("keydown", event => key(event, onUnread), true)
    for (const kind of ["blur", "scroll", "wheel"]) document.addEventListener(kind, event => event.target === area && close(), true)
    document.addEventListener("pointerdown", event => {
        if (box && !box.contains(/** @type {Node} */ (event.target))) close()
    }, true)
}

const before = () => (area ? area.value.slice(0, area.selectionStart) : "")

function close() {
    asked++
    clearTimeout(waiting)
    box?.remove()
    box = null
    for (const name of ["aria-activedescendant", "aria-controls", "aria-expanded"]) area?.removeAttribute(name)
}

async function look() {
    const text = before()
    const name = NAME.exec(text)
    const weight = WEIGHT.exec(text)
    if (name) await lookForNames(name[1])
    else if (weight) await lookForWeights(weight[1], weight[2])
    else close()
}

/** @param {string} typed */
async function lookForNames(typed) {
    const mine = ++asked
    let found
    try {
        found = await page({ text: typed.replace(/\\(.)/g, "$1"), order: typed ? "most_used" : "recently_used", descending: true }, 0, FETCHED)
    } catch (error) {
        if (!(error instanceof LibraryError)) throw error
        return close()
    }
    if (mine !== asked) return
    const rank = (/** @type {import("./library.mjs").Card} */ card) => {
        const at = titleOf(card.name).toLowerCase().indexOf(typed.trim().toLowerCase())
        return at === 0 ? 0 : at > 0 ? 1 : 2
    }
    const cards = found.items.filter((/** @type {any} */ card) => card.state === "present")
    cards.sort((/** @type {any} */ a, /** @type {any} */ b) => rank(a) - rank(b))
    choices = cards.slice(0, SHOWN).map((/** @type {import("./library.mjs").Card} */ card) => ({ text: "", card, value: 0 }))
    show("names", choices.map((choice, i) => choiceOf(/** @type {any} */ (choice.card), typed, `ld-complete-${i}`)), t("complete.label"))
}

/** @param {string} name @param {string} typed */
async function lookForWeights(name, typed) {
    const mine = ++asked
    const card = await cardNamed(name.replace(/\\(.)/g, "$1"))
    if (mine !== asked) return
    const preferred = card ? weightFor(card) : 1
    const values = [...new Set([...WEIGHTS, preferred])].sort((a, b) => a - b).filter(value => String(value).startsWith(typed))
    choices = values.map(value => ({ text: String(value), card: null, value }))
    const first = choices.findIndex(({ value }) => value === preferred)
    show("weights", choices.map(({ text, value }, i) => h("div", {
        role: "option", id: `ld-complete-${i}`, class: value === preferred ? "is-pref" : "", title: value === preferred ? t("deck.preferred_weight") : null,
    }, text)), t("complete.weight"), Math.max(0, first))
}

/** @param {import("./library.mjs").Card} card @param {string} typed @param {string} id @returns {HTMLElement} one of the names to choose */
export function choiceOf(card, typed, id) {
    const title = titleOf(card.name)
    const folded = typed.trim().toLowerCase()
    const alias = !title.toLowerCase().includes(folded) && card.aliases.find(each => each.toLowerCase().includes(folded))
    const at = folded ? title.toLowerCase().indexOf(folded) : -1
    const name = at < 0 ? cutInTheMiddle(title)
        : [h("span.ld-mid", null, h("span", null, title.slice(0, at), h("mark", null, title.slice(at, at + folded.length)), title.slice(at + folded.length)))]
    const weight = preferredWeight(card)
    const shown = card.preview_version && !card.adult && !isVideo(card)
    return h("div", { role: "option", id },
        h("div.ld-pic", null, shown ? h("img", { alt: "", draggable: false, src: thumbnail(card, 128) }) : placeholder(title, card.architecture)),
        h("div", { style: { "min-width": 0 } }, name, h("div.ld-meta", { style: { margin: 0 } }, h("i.ld-dot", { style: { "--h": hueOf(card.architecture) } }),
            h("span.ld-trunc", null, (card.architecture || t("deck.unknown")) + (alias ? ` · ${t("complete.alias", { name: alias })}` : "")))),
        h("span.ld-muted.ld-num", null, weight !== null && [hidden(t("deck.preferred_weight")), String(weight)]))
}

/** @param {"names"|"weights"} kind @param {HTMLElement[]} options @param {string} label @param {number} [first] */
function show(kind, options, label, first = 0) {
    const mine = asked
    close()
    asked = mine
    if (!options.length || !area || document.activeElement !== area) return
    options.forEach((option, i) => {
        option.addEventListener("pointerdown", event => {
            event.preventDefault()
            event.stopPropagation()
            take(i)
        })
        option.addEventListener("pointermove", () => choose(i))
    })
    const hints = [["↑↓", "choose"], ["Enter", "insert"], [":", "colon"], ["Esc", "close"]]
    box = kind === "names"
        ? h("div.ld.ld-pop.ld-ac", null, h("div", { role: "listbox", id: "ld-complete", "aria-label": label }, options),
            h("div.ld-ac__f", { "aria-hidden": true }, hints.map(([k, word]) => h("span", null, h("kbd", null, k), ` ${t(`complete.${word}`)}`))))
        : h("div.ld.ld-pop.ld-acw", { role: "listbox", id: "ld-complete", "aria-label": label }, options)
    document.body.append(/** @type {HTMLElement} */ (box))
    area.setAttribute("aria-controls", "ld-complete")
    choose(first)
    place()
}

/** Below the caret, above it where there is no room. */
function place() {
    if (!box || !area) return
    const { x, y, height } = caretPlace(area)
    const { offsetWidth: width, offsetHeight: tall } = box
    const below = y + height + 4
    box.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`
    box.style.top = `${below + tall + 8 <= innerHeight ? below : Math.max(8, y - tall - 4)}px`
}

/** Where the caret stands in the window: measured in a copy of the text area. @param {HTMLTextAreaElement} from */
function caretPlace(from) {
    const style = getComputedStyle(from)
    const copy = h("div", { "aria-hidden": true })
    for (const rule of ["font", "letter-spacing", "padding", "border", "line-height", "text-indent", "tab-size", "box-sizing"]) copy.style.setProperty(rule, style.getPropertyValue(rule))
    Object.assign(copy.style, { position: "fixed", visibility: "hidden", whiteSpace: "pre-wrap", overflowWrap: "break-word", left: "0", top: "0", width: `${from.clientWidth}px` })
    const mark = h("span", null, "\u200b")
    copy.append(from.value.slice(0, from.selectionStart), mark)
    document.body.append(copy)
    const box = from.getBoundingClientRect()
    const scale = box.width / (from.offsetWidth || 1)
    const place = { x: box.x + mark.offsetLeft * scale, y: box.y + (mark.offsetTop - from.scrollTop) * scale, height: mark.offsetHeight * scale }
    copy.remove()
    return place
}

/** @param {number} i */
function choose(i) {
    chosen = (i + choices.length) % choices.length
    box?.querySelectorAll("[role=option]").forEach((option, k) => option.setAttribute("aria-selected", String(k === chosen)))
    box?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" })
    area?.setAttribute("aria-activedescendant", `ld-complete-${chosen}`)
}

/** @type {(field: import("./flow.mjs").Field) => void} */ let tellUnread = () => undefined

/** @param {KeyboardEvent} event @param {(field: import("./flow.mjs").Field) => void} onUnread */
function key(event, onUnread) {
    tellUnread = onUnread
    if (!box || event.target !== area || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    const weights = box.classList.contains("ld-acw")
    if (event.key === (weights ? "ArrowRight" : "ArrowDown") || event.key === "ArrowDown") choose(chosen + 1)
    else if (event.key === (weights ? "ArrowLeft" : "ArrowUp") || event.key === "ArrowUp") choose(chosen - 1)
    else if (event.key === "Enter" || event.key === "Tab") take(chosen)
    else if (event.key === ":" && !weights && choices[chosen]) take(chosen)
    else if (event.key === "Escape") close()
    else return
    event.preventDefault()
    event.stopImmediatePropagation()
}

/** @param {number} i */
async function take(i) {
    const choice = choices[i]
    const at = area
    if (!choice || !at) return
    const text = before()
    const found = choice.card ? NAME.exec(text) : WEIGHT.exec(text)
    close()
    if (!found) return
    const written = choice.card ? `<lora:${escapeText(await spelling(choice.card))}:` : `${choice.text}>`
    const from = choice.card ? found.index : at.selectionStart - found[2].length
    // What is there already of the rest of the tag is written over.
    const rest = choice.card ? 0 : at.value[at.selectionStart] === ">" ? 1 : 0
    at.focus({ preventScroll: true })
    at.setSelectionRange(from, text.length + rest)
    document.execCommand("insertText", false, written)
    const field = choice.card ? null : widgetOf(at)
    if (field && !isRead(field)) tellUnread(field)
}
