/** What other parts of the deck can do with a card, for menus that stand elsewhere. */

/** @typedef {import("./library.mjs").Card} Card @typedef {"edit"|"show"} Act */

/** @type {Map<Act, (card: Card) => void>} */ const acts = new Map()

/** @param {Act} act @param {(card: Card) => void} run */
export const offerCardAct = (act, run) => void acts.set(act, run)

/** @param {Act} act */
export const canActOnCard = act => acts.has(act)

/** @param {Act} act @param {Card} card */
export const actOnCard = (act, card) => acts.get(act)?.(card)
