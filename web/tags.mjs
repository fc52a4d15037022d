/**
 * Putting a LoRA into a prompt's text and taking it out again. Pure: texts in, edits out.
 *
 * @typedef {{start: number, end: number, text: string}} Edit replaces `start` to `end` by `text`
 * @typedef {import("./grammar.mjs").Tag} Tag
 */

import { parsePrompt, printTag } from "./grammar.mjs?v=0.1.0"

const WORD = /[\p{L}\p{N}_]/u

/** @param {string} text @param {Edit} edit */
export const edited = (text, { start, end, text: piece }) => text.slice(0, start) + piece + text.slice(end)

/**
 * A place for a tag at or behind `at`: not inside a tag, not inside a word.
 *
 * @param {string} text
 * @param {number} at
 */
export function placeFor(text, at) {
    let place = Math.min(Math.max(0, at), text.length)
    const around = parsePrompt(text).tags.find(tag => tag.start < place && place < tag.end)
    if (around) place = around.end
    const inWord = place > 0 && WORD.test(text[place - 1])
    while (inWord && place < text.length && WORD.test(text[place])) place++
    return place
}

/**
 * Puts a piece into a text, with the separator on each side where there is a neighbour.
 *
 * @param {string} text
 * @param {number} at
 * @param {string} piece
 * @param {string} separator
 * @returns {Edit & {lead: string, tail: string}}
 */
export function insertion(text, at, piece, separator) {
    const before = text.slice(0, at)
    const after = text.slice(at)
    const mark = separator.trim()
    const marked = mark !== "" && before.trimEnd().endsWith(mark)
    const lead = !before || /\s$/.test(before) ? "" : marked ? " " : separator
    const tail = !after || /^[\s,.;)]/.test(after) ? "" : separator || " "
    return { start: at, end: at, text: lead + piece + tail, lead, tail }
}

/**
 * Takes a tag out, with the activation text that follows it and the separator that joined them to the text.
 *
 * @param {string} text
 * @param {{start: number, end: number}} tag
 * @param {string[]} activations texts that may follow it; the longest that does goes too
 * @param {{lead: string, tail: string}|string} joined what was put around it, or the separator where nobody remembers
 * @returns {Edit}
 */
export function removal(text, tag, activations, joined) {
    let { start, end } = tag
    const gap = /^[\s,]*/.exec(text.slice(end))?.[0].length ?? 0
    const follows = (/** @type {string} */ words) =>
        words && text.startsWith(words, end + gap) && !(WORD.test(words.at(-1) ?? "") && WORD.test(text[end + gap + words.length] ?? ""))
    const found = [...activations].sort((a, b) => b.length - a.length).find(follows)
    if (found) end += gap + found.length
    const strip = (/** @type {string} */ lead, /** @type {string} */ tail) => {
        if (lead && text.slice(0, start).endsWith(lead)) start -= lead.length
        if (tail && text.startsWith(tail, end)) end += tail.length
    }
    if (typeof joined !== "string") strip(joined.lead, joined.tail)
    else if (start > 0) {
        const before = text.slice(0, start)
        strip(joined && before.endsWith(joined) ? joined : before.endsWith(" ") ? " " : "", "")
    } else strip("", joined && text.startsWith(joined, end) ? joined : text[end] === " " ? " " : "")
    return { start, end, text: "" }
}

/**
 * Takes a negative text out, whatever weight it stands with by now.
 *
 * @param {string} text
 * @param {string} words
 * @param {string} separator
 * @returns {Edit|null} `null` where it is not there
 */
export function negativeRemoval(text, words, separator) {
    const escaped = words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    const found = [...text.matchAll(new RegExp(`\\(${escaped}(?::\\s*[+-]?[\\d.]+\\s*)?\\)`, "g"))].at(-1)
    if (!found) return null
    return removal(text, { start: found.index, end: found.index + found[0].length }, [], separator)
}

/** @param {string} words @returns {string} as A1111 writes it: its weight can be edited, and its words stay together */
export const negativePiece = words => `(${words}:1)`

/** @param {import("./grammar.mjs").Entry} entry @returns {string} its weight, both where they differ */
export const weightLabel = ({ te, unet }) => (te === unet ? short(unet) : `${short(te)}/${short(unet)}`)

/** @param {number} value */
const short = value => String(Math.round(value * 1000) / 1000)

/**
 * Moves the weights of a tag, everything else in it kept as it is written where that can be.
 *
 * @param {string} text
 * @param {Tag} tag
 * @param {(weight: number) => number} change
 * @returns {Edit|null} `null` where the tag is malformed
 */
export function reweighted(text, tag, change) {
    if (!tag.entry) return null
    const { te, unet } = tag.entry
    const source = text.slice(tag.start, tag.end)
    const plain = /^(<(?:lora|lyco):(?:\\[^]|[^:\\>=])+)(?::\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*)?(>|:(?:\\[^]|[^\\>])*=(?:\\[^]|[^\\>])*>)$/i.exec(source)
    const named = /:\s*(?:te|unet)\s*=/i.test(source)
    if (plain && te === unet && !named) {
        return { start: tag.start, end: tag.end, text: `${plain[1]}:${short(change(unet))}${plain[2]}` }
    }
    const entry = { ...tag.entry, te: round(change(te)), unet: round(change(unet)) }
    // Hires weights that only followed the others follow them still.
    for (const [own, key] of /** @type {const} */ ([["hr_te", te], ["hr_unet", unet]]))
        if (entry[own] === key && !/:\s*hr/i.test(source)) entry[own] = null
    return { start: tag.start, end: tag.end, text: printTag(entry) }
}

/** @param {number} value */
const round = value => Math.round(value * 1000) / 1000

/**
 * The tag around a caret.
 *
 * @param {string} text
 * @param {number} at
 */
export const tagAt = (text, at) => parsePrompt(text).tags.find(tag => tag.start < at && at < tag.end) ?? null
