/** Training tags and the activation text: toggling one in the other, and A1111's random prompt. Pure. */

const PIECE = /[^,\n]+/g

/** @param {string} text @returns {{text: string, start: number, end: number}[]} the parts between commas, trimmed */
function pieces(text) {
    return [...text.matchAll(PIECE)].flatMap(found => {
        const trimmed = found[0].trim()
        const start = (found.index ?? 0) + found[0].indexOf(trimmed)
        return trimmed ? [{ text: trimmed, start, end: start + trimmed.length }] : []
    })
}

/** @param {string} text @returns {Set<string>} */
export const partsOf = text => new Set(pieces(text).map(piece => piece.text))

/**
 * The text with the tag at its end, or without it where it stands as a part of its own.
 *
 * @param {string} text
 * @param {string} tag
 */
export function toggled(text, tag) {
    const all = pieces(text)
    if (!all.some(piece => piece.text === tag)) {
        const before = text.trimEnd()
        return before ? `${before}${before.endsWith(",") ? " " : ", "}${tag}` : tag
    }
    let rest = text
    for (const [index, piece] of [...all.entries()].reverse()) {
        if (piece.text !== tag) continue
        // With the comma behind it, or before it at the end.
        const next = all[index + 1]
        const start = next ? piece.start : all[index - 1]?.end ?? 0
        rest = rest.slice(0, start) + rest.slice(next ? next.start : piece.end)
    }
    return rest
}

/**
 * A prompt of training tags, the frequent ones more often: a tag stays where its count is above a random share of the
 * highest count, its brackets are escaped, and the tags are sorted, as A1111 does it.
 *
 * @param {[string, number][]} tags most frequent first
 * @param {() => number} [random] from 0 to 1
 */
export function randomPrompt(tags, random = Math.random) {
    const most = tags[0]?.[1] ?? 0
    return tags.filter(([, count]) => count > random() * most)
        .map(([tag]) => tag.replace(/[({[\]})]/g, "\\$&"))
        .sort()
        .join(", ")
}
