/** One card of the list: its picture, its name, what it is, and how it stands to the prompt. */

import { h, hidden, icon } from "./dom.mjs?v=0.1.0"
import { preview, thumbnail } from "./library.mjs?v=0.1.0"
import { hueOf, placeholder } from "./placeholder.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/**
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {object} Look how a card stands
 * @property {string|null} on its weight in the prompt
 * @property {boolean} picked
 * @property {boolean} blurred
 * @property {import("./store.mjs").Size} size
 */

const SIDES = { list: 128, small: 128, medium: 256, large: 512 }
const BREAKS = /([_\-.・/])/g

/** @param {string} path @returns {string} the file's name without folder and extension */
export const titleOf = path => path.replace(/^.*\//, "").replace(/\.(safetensors|sft|pt2?|pth|ckpt|bin|pkl)$/i, "")

/** @param {Card} card @returns {number|null} the weight that the card asks for; A1111's 0 stands for none */
export const preferredWeight = card => card.fields.preferred_weight || null

/** @param {Card} card @returns {string} what is wrong with the file itself, in a few words */
export function fault(card) {
    const problem = card.problems.find(p => p.part === "file")
    if (!problem) return ""
    const text = t(`problems.${problem.code}`)
    return text.startsWith("problems.") ? t("problems.other") : text
}

/** @param {Card} card @returns {string} what to do about it */
function remedy(card) {
    const problem = card.problems.find(p => p.part === "file")
    if (!problem) return ""
    const key = `remedies.${problem.code}`
    const text = t(key)
    return text === key ? problem.reason : text
}

/** @param {Card} card */
export const isVideo = card => card.preview_kind.startsWith("video/")

/**
 * @param {Card} card
 * @param {Look} look
 * @returns {HTMLElement}
 */
export function picture(card, look) {
    const wrong = fault(card)
    const children = [
        wrong ? h("div.ld-fault", null, hidden(t("deck.problem")), icon("bad"), wrong) : image(card, look),
        look.blurred && h("div.ld-blur__m", null, hidden(t("deck.preview_hidden")), icon("eyeoff")),
        isVideo(card) && !look.picked && h("span.ld-mark.ld-mark--tr", null, hidden(t("deck.video")), icon("play", "ld-i--12 ld-i--fill")),
        card.state === "away" && h("span.ld-mark.ld-mark--tr", null, icon("off", "ld-i--12")),
        card.favourite && h("span.ld-mark.ld-mark--br", null, hidden(t("deck.favourite")), icon("star", "ld-i--12 ld-i--fill")),
        look.on !== null && look.size !== "list" && h("span.ld-mark.ld-mark--on", null, icon("check", "ld-i--12"), hidden(t("deck.in_prompt_at")), look.on),
        look.picked && h("span.ld-mark.ld-mark--pick", null, icon("check", "ld-i--12")),
    ]
    return h("div.ld-pic", { class: look.blurred ? "ld-blur" : "" }, children)
}

/** @param {Card} card @param {Look} look */
function image(card, look) {
    const title = titleOf(card.name)
    if (!card.preview_version || isVideo(card)) return placeholder(title, card.architecture)
    const element = h("img", { alt: "", draggable: false, decoding: "async", src: thumbnail(card, SIDES[look.size]) })
    element.addEventListener("error", () => element.replaceWith(placeholder(title, card.architecture)), { once: true })
    return element
}

/** @param {Card} card @returns {HTMLVideoElement} its video, muted and looping */
export const video = card =>
    Object.assign(h("video", { src: preview(card), playsinline: true, loop: true, autoplay: true, disablepictureinpicture: true }), { muted: true })

/** @param {Card} card @param {boolean} weight whether to show the preferred weight */
export function meta(card, weight) {
    const preferred = weight ? preferredWeight(card) : null
    const family = card.family && card.family !== "LoRA" ? ` · ${card.family}` : ""
    return h("div.ld-meta", null,
        h("i.ld-dot", { style: { "--h": hueOf(card.architecture) } }),
        h("span.ld-trunc", null, (card.architecture || t("deck.unknown")) + family),
        preferred !== null && [hidden(t("deck.preferred_weight")), h("span.ld-w", null, String(preferred))])
}

/** @param {Card} card @param {boolean} weight */
function under(card, weight) {
    if (fault(card)) return h("div.ld-meta", null, h("span.ld-trunc", null, remedy(card)))
    if (card.state !== "present") return h("div.ld-meta", null, h("span.ld-trunc", null, t(`deck.${card.state}`)))
    return meta(card, weight)
}

/** @param {string} name @returns {(Node|string)[]} with places where it may break */
const breakable = name => name.split(BREAKS).flatMap(part => (part.match(BREAKS) ? [part, h("wbr")] : [part]))

/** @param {string} name @returns {Node[]} cut in the middle where it is long, so that the version at its end stays */
export function cutInTheMiddle(name) {
    const signs = [...name]
    if (signs.length < 16) return [h("span.ld-mid", null, h("span", null, name))]
    const last = [...(name.match(/[_\-\s.・][^_\-\s.・]{1,8}$/)?.[0] ?? "")].length
    const tail = last > 2 && last < 9 ? last : 5
    return [hidden(name), h("span.ld-mid", { "aria-hidden": true },
        h("span", null, signs.slice(0, -tail).join("")), h("span", null, signs.slice(-tail).join("")))]
}

/** What each option shows, so that only what has changed is drawn anew. @type {WeakMap<HTMLElement, string>} */
const shown = new WeakMap()

/**
 * Fills an option of the list.
 *
 * @param {HTMLElement} element
 * @param {Card|undefined} card `undefined`: not fetched yet
 * @param {Look} look
 */
export function fillCard(element, card, look) {
    const shows = JSON.stringify([card, look])
    if (shown.get(element) === shows) return
    shown.set(element, shows)
    const list = look.size === "list"
    element.className = list ? "ld-row" : "ld-card"
    element.setAttribute("aria-selected", String(look.picked))
    if (!card) {
        element.setAttribute("aria-busy", "true")
        element.replaceChildren(h("div.ld-pic.ld-wait"), hidden(t("deck.loading")))
        return
    }
    element.removeAttribute("aria-busy")
    element.classList.toggle("is-active", look.on !== null)
    element.classList.toggle("is-away", card.state !== "present")
    const title = titleOf(card.name)
    element.title = fault(card) ? `${card.name}\n${remedy(card)}` : card.name
    if (list) {
        const weight = preferredWeight(card)
        element.replaceChildren(
            h("div", { style: { "min-width": 0 } }, h("div.ld-name", null, cutInTheMiddle(title)), under(card, false)),
            picture(card, look),
            h("span.ld-row__w", null,
                look.on !== null ? [hidden(t("deck.in_prompt_at")), icon("check", "ld-i--12"), look.on]
                    : weight !== null && [hidden(t("deck.preferred_weight")), String(weight)]))
    } else element.replaceChildren(h("div.ld-name", null, breakable(title)), under(card, true), picture(card, look))
}
