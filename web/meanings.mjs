/** Which card a name in a tag stands for, as the server says it; kept until the library changes. */

import { LibraryError, resolve } from "./library.mjs?v=0.1.0"

/**
 * @typedef {object} Meaning
 * @property {import("./library.mjs").Card|null} card
 * @property {""|"missing"|"ambiguous"} problem why there is none; empty also where the server did not say
 * @property {string[]} candidates files that the name may mean
 */

const KEPT = 2000
/** @type {Map<string, Promise<Meaning>>} */ const asked = new Map()
/** @type {Map<string, Meaning>} */ const known = new Map()

/** @param {string} name @returns {Promise<Meaning>} */
export function meaningOf(name) {
    let answer = asked.get(name)
    if (!answer) {
        if (asked.size >= KEPT) forgetMeanings()
        answer = resolve(name).then(
            ({ card }) => ({ card, problem: /** @type {const} */ (""), candidates: [] }),
            error => {
                if (!(error instanceof LibraryError)) throw error
                if (!error.status) asked.delete(name)
                const problem = error.status === 404 ? "missing" : error.status === 409 ? "ambiguous" : ""
                return { card: null, problem, candidates: error.body?.candidates ?? [] }
            },
        )
        asked.set(name, answer)
        answer.then(meaning => asked.has(name) && known.set(name, meaning))
    }
    return answer
}

/** @param {string} name @returns {Promise<import("./library.mjs").Card|null>} `null`: none, or several */
export const cardNamed = async name => (await meaningOf(name)).card

/** @param {string} name @returns {Meaning|undefined} `undefined`: not known yet */
export const knownMeaning = name => known.get(name)

/** After a change of the library. */
export function forgetMeanings() {
    asked.clear()
    known.clear()
}
