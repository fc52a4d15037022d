/**
 * The gesture on cards: into the prompt, or out of it, with what goes with them.
 *
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {import("./flow.mjs").Field} Field
 */

import { carryOut, plan } from "./connect.mjs?v=0.1.0"
import { isRead, negativeOf } from "./flow.mjs?v=0.1.0"
import { parsePrompt, printTag } from "./grammar.mjs?v=0.1.0"
import { asOneStep, asOneStepOfNodes, elementOf, graphId, replaceText } from "./host.mjs?v=0.1.0"
import { cardNamed } from "./meanings.mjs?v=0.1.0"
import { preferredWeight } from "./card.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { edited, insertion, negativePiece, negativeRemoval, placeFor, removal } from "./tags.mjs?v=0.1.0"
import { aim, target } from "./target.mjs?v=0.1.0"

/**
 * What the deck put in, so that exactly that comes out.
 * @type {Map<number, {activation: string, negative: string, lead: string, tail: string}>}
 */
const inserted = new Map()

/** Prompts that the user chose to leave unconnected, until the page is loaded again. @type {Set<string>} */
const declined = new Set()

/** @param {Field} field */
const placeOf = field => `${graphId(field.graph)}/${field.node.id}`

/** @param {Field} field */
export const decline = field => declined.add(placeOf(field))

/**
 * Wires a prompt in one step.
 *
 * @param {import("./connect.mjs").Plan} found
 */
export async function connect(found) {
    const text = String(found.field.widget.value)
    const written = await asOneStepOfNodes(() => carryOut(found, text))
    aim(written)
    flash(written)
}

/** @param {Field} field @returns {import("./connect.mjs").Plan|null} how to connect it, where it needs that and the user did not decline */
export const planFor = field => (isRead(field) || declined.has(placeOf(field)) ? null : plan(field))

/** @param {Card} card @returns {Promise<string>} the name to write */
export async function spelling(card) {
    const alias = chosen("NameInserted") === "alias" ? card.aliases[0] : ""
    return alias && (await cardNamed(alias))?.id === card.id ? alias : card.insert
}

/** @param {Card} card @returns {number} */
export const weightFor = card => preferredWeight(card) ?? (Number(chosen("DefaultWeight")) || 1)

/** @param {Card} card @returns {Promise<string>} */
export const tagFor = async card => printTag({ name: await spelling(card), te: weightFor(card) })

/** @param {Card} card @param {string} key @param {boolean} bare whether the tag goes in alone */
const words = (card, key, bare) => (chosen("ActivationText") && !bare ? String(card.fields[key] ?? "").trim() : "")

/**
 * The tags of a card in a text.
 *
 * @param {string} text
 * @param {number} id
 */
async function tagsOf(text, id) {
    const { tags } = parsePrompt(text)
    const found = await Promise.all(tags.map(async tag => tag.entry && (await cardNamed(tag.entry.name))?.id === id))
    return tags.filter((_, i) => found[i])
}

/**
 * @typedef {{kind: "none"|"fed"}} Nowhere
 * @typedef {{kind: "ask", field: Field, plan: import("./connect.mjs").Plan, go: (connect: boolean) => Promise<Done>}} Ask
 * @typedef {{kind: "in"|"out"|"connected", cards: Card[], weight: string, field: Field}} Done
 */

/**
 * Puts cards into the prompt; a single one that is there already comes out. Asks first where a tag would do nothing.
 *
 * @param {Card[]} cards
 * @param {"ask"|"connect"|"insert"} unconnected what to do about a prompt that reaches no parser
 * @param {boolean} [bare] whether tags go in without activation and negative texts
 * @returns {Promise<Nowhere|Ask|Done>}
 */
export async function toggle(cards, unconnected, bare = false) {
    const { field, fed, caret } = target()
    if (!field || fed) return { kind: field ? "fed" : "none" }
    const text = String(field.widget.value)
    const there = new Map()
    for (const card of cards) there.set(card.id, (await tagsOf(text, card.id)).at(-1))
    if (cards.every(card => there.get(card.id))) return takeOut(cards, field)
    const missing = cards.filter(card => !there.get(card.id))
    const tags = await Promise.all(missing.map(tagFor))
    return insertAt(missing, tags, field, caret, unconnected, bare)
}

/**
 * Puts cards into a prompt at a place, whether they are there already or not.
 *
 * @param {Card[]} cards
 * @param {string[]} tags one for each
 * @param {Field} field
 * @param {number} caret
 * @param {"ask"|"connect"|"insert"} unconnected
 * @param {boolean} [bare] as in `toggle`
 * @returns {Promise<Ask|Done>}
 */
export async function insertAt(cards, tags, field, caret, unconnected, bare = false) {
    const found = planFor(field)
    const go = (/** @type {boolean} */ connect) => putIn(cards, tags, field, caret, connect ? found : null, bare)
    if (!found || unconnected === "insert") return go(false)
    return unconnected === "connect" ? go(true) : { kind: "ask", field, plan: found, go }
}

/**
 * @param {Card[]} cards
 * @param {string[]} tags
 * @param {Field} field
 * @param {number} caret
 * @param {import("./connect.mjs").Plan|null} found to carry out
 * @param {boolean} bare
 * @returns {Promise<Done>}
 */
async function putIn(cards, tags, field, caret, found, bare) {
    const separator = String(chosen("Separator") ?? " ")
    const negative = negativeOf(field)
    const before = String(field.widget.value)
    const at = placeFor(before, caret)
    const piece = cards.map((card, i) => [tags[i], words(card, "activation_text", bare)].filter(Boolean).join(" "))
    const edit = insertion(before, at, piece.join(separator || " "), separator)
    const negatives = cards.map(card => (negative ? words(card, "negative_text", bare) : ""))
    const write = () => {
        for (const text of negatives.filter(Boolean)) {
            const now = String(/** @type {Field} */ (negative).widget.value)
            const more = insertion(now, now.length, negativePiece(text), separator)
            replaceText(/** @type {Field} */ (negative).node, /** @type {Field} */ (negative).widget, more.start, more.end, more.text)
        }
        if (found) return carryOut(found, edited(before, edit))
        replaceText(field.node, field.widget, edit.start, edit.end, edit.text)
        return field
    }
    const written = found ? await asOneStepOfNodes(write) : asOneStep(write)
    cards.forEach((card, i) => {
        inserted.set(card.id, {
            activation: words(card, "activation_text", bare), negative: negatives[i],
            lead: i === 0 ? edit.lead : separator || " ", tail: i === cards.length - 1 ? edit.tail : "",
        })
    })
    aim(written, edit.start + edit.text.length - edit.tail.length)
    flash(written)
    return { kind: found ? "connected" : "in", cards, weight: String(weightFor(cards[0])), field: written }
}

/** @param {Card[]} cards @param {Field} field @returns {Promise<Done>} */
async function takeOut(cards, field) {
    const separator = String(chosen("Separator") ?? " ")
    const negative = negativeOf(field)
    /** @type {[Field, (text: string) => import("./tags.mjs").Edit|null][]} */ const steps = []
    let text = String(field.widget.value)
    let caret = text.length
    for (const card of cards) {
        const tag = (await tagsOf(text, card.id)).at(-1)
        if (!tag) continue
        const memory = inserted.get(card.id)
        const activations = [memory?.activation ?? "", String(card.fields.activation_text ?? "").trim()]
        const edit = removal(text, tag, activations, memory ?? separator)
        steps.push([field, () => edit])
        text = edited(text, edit)
        caret = edit.start
        const spoken = memory?.negative || String(card.fields.negative_text ?? "").trim()
        if (negative && spoken) steps.push([negative, now => negativeRemoval(now, spoken, separator)])
        inserted.delete(card.id)
    }
    asOneStep(() => {
        for (const [where, edit] of steps) {
            const found = edit(String(where.widget.value))
            if (found) replaceText(where.node, where.widget, found.start, found.end, found.text)
        }
    })
    aim(field, caret)
    return { kind: "out", cards, weight: "", field }
}

/** @param {Field} field */
function flash({ node, widget }) {
    const area = elementOf(node, widget)
    area?.classList.add("ld-flash")
    setTimeout(() => area?.classList.remove("ld-flash"), 600)
}
