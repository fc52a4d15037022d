/**
 * Which cards are selected. A selection may reach over pages that nobody looked at: of those only the ids are known until
 * something is done with them.
 *
 * @typedef {import("./library.mjs").Card} Card
 */

import { ids, page } from "./library.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"

/** How many cards are fetched at once. */
const BATCH = 200
/** A selection up to this size is fetched when it is made. */
const FETCHED_AHEAD = 1000

/** @param {Card} card */
export function pick(card) {
    const picked = new Map(state.picked)
    if (!picked.delete(card.id)) picked.set(card.id, card)
    update({ picked })
}

export const pickNone = () => update({ picked: new Map() })

/**
 * Selects the cards from one position to another, whether they are here or not.
 *
 * @param {import("./library.mjs").CardList} list
 * @param {number} from
 * @param {number} to
 */
export async function pickRange(list, from, to) {
    const [first, last] = [Math.max(0, Math.min(from, to)), Math.max(from, to)]
    const cards = /** @type {Card[]} */ (Array.from({ length: last - first + 1 }, (_, i) => list.at(first + i)))
    if (cards.every(Boolean)) return update({ picked: new Map(cards.map(card => [card.id, card])) })
    const version = list.version
    const found = (await ids(list.query)).ids.slice(first, last + 1)
    if (version === list.version) await choose(list, found)
}

/** Selects every hit. @param {import("./library.mjs").CardList} list */
export const pickAll = list => pickRange(list, 0, list.total - 1)

/** @param {import("./library.mjs").CardList} list @param {number[]} chosen */
async function choose(list, chosen) {
    const here = new Map([...list.here()].map(card => [card.id, card]))
    const picked = new Map(chosen.map(id => [id, here.get(id) ?? null]))
    update({ picked })
    // So that a drag, which cannot wait, takes all of them along.
    if (chosen.length > FETCHED_AHEAD) return
    const cards = await pickedCards()
    if (state.picked === picked) state.picked = new Map(cards.map(card => [card.id, card]))
}

/** @returns {Promise<Card[]>} the selected cards, fetched where they are not here yet; those that are gone are left out */
export async function pickedCards() {
    const chosen = new Map(state.picked)
    const missing = [...chosen].flatMap(([id, card]) => (card ? [] : [id]))
    for (let i = 0; i < missing.length; i += BATCH) {
        const { items } = await page({ ids: missing.slice(i, i + BATCH) }, 0, BATCH)
        for (const card of items) chosen.set(card.id, card)
    }
    return [...chosen.values()].flatMap(card => card ?? [])
}
