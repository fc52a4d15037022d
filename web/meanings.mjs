/** Which card a name in a tag stands for, as the server says it; kept until the library changes. */

import { LibraryError, resolve } from "./library.mjs?v=0.1.0"

const KEPT = 2000
/** @type {Map<string, Promise<import("./library.mjs").Card|null>>} */ const asked = new Map()
/** @type {Map<string, import("./library.mjs").Card|null>} */ const known = new Map()

/** @param {string} name @returns {Promise<import("./library.mjs").Card|null>} `null`: none, or several */
export function cardNamed(name) {
    let answer = asked.get(name)
    if (!answer) {
        if (asked.size >= KEPT) forgetMeanings()
        answer = resolve(name).then(
            ({ card }) => card,
            error => {
                if (!(error instanceof LibraryError)) throw error
                if (!error.status) asked.delete(name)
                return null
            },
        )
        asked.set(name, answer)
        answer.then(card => asked.has(name) && known.set(name, card))
    }
    return answer
}

/** @param {string} name @returns {import("./library.mjs").Card|null|undefined} `undefined`: not known yet */
export const knownCard = name => known.get(name)

/** After a change of the library. */
export function forgetMeanings() {
    asked.clear()
    known.clear()
}
