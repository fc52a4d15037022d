/** From bars back to text: the shortest selectors that give the same weights. Pure. */

/** @param {string} id */
export const groupOf = id => id.replace(/\d+$/, "")

/** @param {number} value */
const short = value => String(Math.round(value * 1000) / 1000)

/**
 * @param {string[]} ids blocks in order, without `BASE`
 * @param {Record<string, number>} values by id; `BASE`, `CLIP`, `T5`, `PRE`, `POST` too, 1 if not said
 * @returns {string} in the language of `lbw=`; blocks that are not named are 0, the others 1
 */
export function textOf(ids, values) {
    const all = ids.every(id => values[id] === values[ids[0]])
    const items = []
    if (all && ids.length) items.push(`ALL=${short(values[ids[0]])}`)
    else {
        for (let from = 0; from < ids.length; ) {
            let to = from
            while (to + 1 < ids.length && values[ids[to + 1]] === values[ids[from]] && groupOf(ids[to + 1]) === groupOf(ids[from])) to++
            if (values[ids[from]] !== 0) items.push(`${to > from ? `${ids[from]}-${ids[to]}` : ids[from]}=${short(values[ids[from]])}`)
            from = to + 1
        }
        // A text of selectors must name something; nothing named is a preset's word.
        if (!items.length) items.push("ALL=0")
    }
    for (const [key, otherwise] of [["BASE", 1], ["CLIP", values.BASE ?? 1], ["T5", values.BASE ?? 1], ["PRE", 1], ["POST", 1]]) {
        const value = values[key] ?? otherwise
        if (value !== otherwise) items.push(`${key}=${short(Number(value))}`)
    }
    return items.join(",")
}
