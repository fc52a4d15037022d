/**
 * The tag's grammar, the twin of `stack/tag.py` and `stack/printer.py`; both are held to `tests/conformance/tags.json`.
 * Offsets count UTF-16 units, as a textarea does.
 *
 * @typedef {object} Entry one LoRA of a stack, in the JSON form's field names
 * @property {string} name
 * @property {number} te
 * @property {number} unet
 * @property {number|null} dyn
 * @property {string|null} lbw
 * @property {string|null} lbwe
 * @property {number|null} x
 * @property {number|null} hr_te
 * @property {number|null} hr_unet
 * @property {Array<[string, string]>} extra
 *
 * @typedef {{start: number, end: number, entry: Entry|null}} Tag one tag; `entry` is null where it is malformed
 * @typedef {{start: number, end: number, skipped: boolean}} Problem
 * @typedef {{key: string|null, value: string, whole: string}} Argument
 */

const OPEN = /<(?:lora|lyco):/gi
const INSIDE = /\\[^]|>|<(?:lora|lyco):|[:=]/gi
const ESCAPABLE = new Set(":<>\\{}|")
const NUMBER_KEYS = ["te", "unet", "hr", "hrte", "hrunet", "x"]
const WINDOW_KEYS = ["start", "stop", "step"]
const FOREIGN_KEYS = [...WINDOW_KEYS, "in", "mid", "out"]
const CURVE_KEYS = ["te", "unet", "hr", "hrte", "hrunet"]
const KEYS = [...NUMBER_KEYS, "dyn", "lbw", "lbwe", ...FOREIGN_KEYS]
const SYNONYMS = { w: "lbw" }
const NUMBER =
    /^[+-]?(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:e[+-]?[0-9]+)?$/i
// What Python's `str.strip` takes off.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+"
const ENDS = new RegExp(`^${SPACE}|${SPACE}$`, "g")

class BadTag extends Error {}

/** @param {string} text */
const strip = text => text.replace(ENDS, "")

/**
 * Takes the LoRA tags out of a prompt. Never throws: a bad tag costs that tag alone and becomes a problem.
 *
 * @param {string} text
 * @param {{weightOrder?: "a1111"|"comfy", repeats?: "sum"|"a1111"}} [options]
 * @returns {{text: string, entries: Entry[], tags: Tag[], problems: Problem[]}}
 */
export function parsePrompt(text, { weightOrder = "a1111", repeats = "sum" } = {}) {
    /** @type {Problem[]} */ const problems = []
    /** @type {Tag[]} */ const tags = []
    const kept = []
    let position = 0
    for (const [start, end, found] of scan(text, problems)) {
        kept.push(text.slice(position, start))
        position = end
        /** @type {Entry|null} */ let entry = null
        let complaints = 0
        try {
            entry = read(found, weightOrder, () => complaints++)
        } catch (error) {
            if (!(error instanceof BadTag)) throw error
            problems.push({ start, end, skipped: true })
        }
        for (; complaints > 0; complaints--) problems.push({ start, end, skipped: false })
        tags.push({ start, end, entry })
    }
    kept.push(text.slice(position))
    problems.sort((a, b) => a.start - b.start)
    const entries = tags.flatMap(tag => (tag.entry ? [tag.entry] : []))
    return { text: kept.join(""), entries: repeats === "a1111" ? mergeRepeats(entries) : entries, tags, problems }
}

/**
 * @param {string} text
 * @param {Problem[]} problems
 * @returns {Generator<[number, number, Argument[]]>}
 */
function* scan(text, problems) {
    OPEN.lastIndex = 0
    let opening = new RegExp(OPEN).exec(text)
    while (opening) {
        const start = opening.index
        const cuts = [start + opening[0].length - 1]
        /** @type {Map<number, number>} */ const equals = new Map()
        const inside = new RegExp(INSIDE)
        inside.lastIndex = start + opening[0].length
        opening = null
        let closed = false
        for (let token = inside.exec(text); token; token = inside.exec(text)) {
            const symbol = token[0]
            if (symbol === ":") cuts.push(token.index)
            else if (symbol === "=") {
                if (!equals.has(cuts.length)) equals.set(cuts.length, token.index)
            } else if (symbol === ">") {
                cuts.push(token.index)
                const found = cuts.slice(1).map((cut, i) => argument(text, cuts[i] + 1, cut, equals.get(i + 1)))
                if (found.some(a => a.whole)) yield [start, inside.lastIndex, found]
                opening = nextOpening(text, inside.lastIndex)
                closed = true
                break
            } else if (symbol[0] === "<") {
                problems.push({ start, end: token.index, skipped: true })
                opening = nextOpening(text, token.index)
                closed = true
                break
            }
        }
        if (!closed) problems.push({ start, end: text.length, skipped: true })
    }
}

/** @param {string} text @param {number} from */
function nextOpening(text, from) {
    const open = new RegExp(OPEN)
    open.lastIndex = from
    return open.exec(text)
}

/** @param {string} text @param {number} start @param {number} end @param {number|undefined} equals @returns {Argument} */
function argument(text, start, end, equals) {
    const whole = strip(unescape(text.slice(start, end)))
    if (equals === undefined) return { key: null, value: whole, whole }
    return {
        key: strip(text.slice(start, equals)).toLowerCase(),
        value: strip(unescape(text.slice(equals + 1, end))),
        whole,
    }
}

/** `\:` `\>` `\<` `\\` `\{` `\}` `\|` lose their backslash; any other backslash separates folders. @param {string} raw */
function unescape(raw) {
    return raw.replace(/\\([^]?)/g, (all, next) => (ESCAPABLE.has(next) && next ? next : `/${next}`))
}

/**
 * @param {Argument[]} found
 * @param {"a1111"|"comfy"} weightOrder
 * @param {() => void} complain
 * @returns {Entry}
 */
function read(found, weightOrder, complain) {
    /** @type {Record<string, string>} */ const named = {}
    const positional = []
    /** @type {string|null} */ let name = null
    for (const item of found) {
        const key = item.key === null ? null : Object.hasOwn(SYNONYMS, item.key) ? SYNONYMS.w : item.key
        if (key !== null && KEYS.includes(key)) {
            if (Object.hasOwn(named, key)) complain()
            named[key] = item.value
        } else if (name === null) name = strip(item.whole.replace(/^\.\//, ""))
        else if (key !== null) complain()
        else positional.push(item.value)
    }
    if (!name) throw new BadTag()

    /** @type {Record<string, number>} */ const values = {}
    /** @type {Record<string, string>} */ const schedules = {}
    const weight = (/** @type {string} */ key, /** @type {string} */ text) => {
        const [value, schedule] = readWeight(key, text)
        values[key] = value
        if (schedule !== null) {
            schedules[key] = schedule
            if (key === "x") complain()
        }
    }
    /** @type {number|null} */ let dyn = null
    const order = weightOrder === "comfy" ? ["unet", "te", "dyn"] : ["te", "unet", "dyn"]
    positional.slice(0, 3).forEach((text, i) => {
        const key = order[i]
        if (key === "dyn") dyn = readRank(text)
        else if (Object.hasOwn(named, key)) {
            if (readWeight(key, text)[1] !== null) complain()
        } else weight(key, text)
    })
    if (positional.length > 3) complain()
    for (const key of NUMBER_KEYS) if (Object.hasOwn(named, key)) weight(key, named[key])
    if (Object.hasOwn(named, "dyn")) dyn = readRank(named.dyn)
    for (const key of FOREIGN_KEYS) {
        if (!Object.hasOwn(named, key)) continue
        if (!WINDOW_KEYS.includes(key)) complain()
        else if (!(key === "step" ? isWindow(named[key]) : isBound(named[key]))) throw new BadTag()
    }

    const first = weightOrder === "comfy" && positional.length ? ["unet", "te"] : ["te", "unet"]
    for (const [source, target] of [first, ["hr", "hrte"], ["hr", "hrunet"]]) {
        if (source in values && !(target in values)) {
            values[target] = values[source]
            if (source in schedules) {
                schedules[target] = schedules[source]
                values[target] = readWeight(target, schedules[source])[0]
            }
        }
    }
    delete schedules.hr
    for (const key of FOREIGN_KEYS) if (Object.hasOwn(named, key)) schedules[key] = named[key]
    const extra = Object.entries(schedules).sort((a, b) => KEYS.indexOf(a[0]) - KEYS.indexOf(b[0]))
    return {
        name,
        te: values.te ?? 1,
        unet: values.unet ?? 1,
        dyn,
        lbw: named.lbw || null,
        lbwe: named.lbwe || null,
        x: values.x ?? null,
        hr_te: values.hrte ?? null,
        hr_unet: values.hrunet ?? null,
        extra,
    }
}

/** @param {string} text @returns {number|null} */
function readNumber(text) {
    const plain = strip(text).replace(/[\uff01-\uff5e]/g, c => String.fromCharCode(c.charCodeAt(0) - 0xfee0))
    if (!NUMBER.test(plain)) return null
    const value = Number(plain.replaceAll("_", ""))
    return Number.isFinite(value) ? value : null
}

/**
 * A weight, or a schedule as the one value that stands for it and its text: for a text encoder the value at the start,
 * else the one farthest from zero.
 *
 * @param {string} key
 * @param {string} text
 * @returns {[number, string|null]}
 */
function readWeight(key, text) {
    const value = readNumber(text)
    if (value !== null) return [value, null]
    const items = /[@~]/.test(text) ? text.split(/[,;]/).map(item => item.split(/[@~]/).map(readNumber)) : []
    if (!items.length || items.some(item => item.length > 2 || item.includes(null))) throw new BadTag()
    const points = /** @type {number[][]} */ (items)
    if (points[0].length === 1) return [points[0][0], null]
    const inOrder = points.map(([weight, place = 1]) => [place, weight]).sort((a, b) => a[0] - b[0])
    if (key === "te" || key === "hrte") return [inOrder[0][1], text]
    return [inOrder.reduce((most, [, w]) => (Math.abs(w) > Math.abs(most) ? w : most), inOrder[0][1]), text]
}

/** A number of steps, or a part of all steps written with a point. @param {string} text */
function isBound(text) {
    const value = readNumber(text)
    if (value === null || value < 0) return false
    return (value <= 1 && text.includes(".")) || Number.isInteger(value)
}

/** `a-b`, either of which may be left out. @param {string} text */
function isWindow(text) {
    const [start, ...rest] = strip(text).split("-")
    const stop = rest.join("-")
    if (!rest.length || (!strip(start) && !strip(stop))) return false
    return [start, stop].every(part => !strip(part) || isBound(part))
}

/** @param {string} text */
function readRank(text) {
    const value = readNumber(text)
    if (value === null || !Number.isInteger(value)) throw new BadTag()
    return value
}

/** @param {Entry[]} entries */
function mergeRepeats(entries) {
    /** @type {Map<string, {entry: Entry, times: number}>} */ const last = new Map()
    for (const entry of entries) last.set(entry.name, { entry, times: (last.get(entry.name)?.times ?? 0) + 1 })
    return [...last.values()].map(({ entry, times }) => ({
        ...entry,
        te: entry.te * times,
        unet: entry.unet * times,
        hr_te: entry.hr_te === null ? null : entry.hr_te * times,
        hr_unet: entry.hr_unet === null ? null : entry.hr_unet * times,
        extra: entry.extra.map(([key, text]) => /** @type {[string, string]} */ ([key, CURVE_KEYS.includes(key) ? scaled(text, times) : text])),
    }))
}

/** The text of a schedule with every weight times `factor`. @param {string} text @param {number} factor */
function scaled(text, factor) {
    return text.split(/([,;])/).map((item, i) => {
        const [weight, ...place] = item.split(/([@~])/)
        const number = i % 2 ? null : readNumber(weight)
        return number === null ? item : [String(number * factor), ...place].join("")
    }).join("")
}

/** Puts a backslash before what the tag or the host's dynamic prompts would take for themselves. @param {string} text */
export function escapeText(text) {
    return text.replace(/[:<>\\{}|]/g, "\\$&")
}

/**
 * The tag of an entry, weights in A1111's order; a weight is always written. Fields may be left out at their default.
 *
 * @param {Partial<Entry> & {name: string}} entry
 */
export function printTag({ name, te = 1, unet = te, dyn = null, lbw, lbwe, x = null, hr_te = null, hr_unet = null, extra = [] }) {
    /** @type {Record<string, string>} */
    const schedules = Object.fromEntries(extra.filter(([key]) => !FOREIGN_KEYS.includes(key)))
    const parts = [printName(name), schedules.te ?? String(te)]
    if (unet !== te || schedules.te || schedules.unet || dyn !== null) parts.push(schedules.unet ?? String(unet))
    if (dyn !== null) parts.push(String(dyn))
    if (lbw) parts.push(`lbw=${escapeText(lbw)}`)
    if (lbwe) parts.push(`lbwe=${escapeText(lbwe)}`)
    if (x !== null) parts.push(`x=${schedules.x ?? x}`)
    const hires = [["hrte", hr_te], ["hrunet", hr_unet]].flatMap(([key, value]) =>
        value === null ? [] : [[key, schedules[/** @type {string} */ (key)] ?? String(value)]])
    if (hires.length === 2 && hires[0][1] === hires[1][1]) parts.push(`hr=${hires[0][1]}`)
    else parts.push(...hires.map(([key, value]) => `${key}=${value}`))
    for (const [key, text] of extra) if (FOREIGN_KEYS.includes(key)) parts.push(`${key}=${escapeText(text)}`)
    return `<lora:${parts.join(":")}>`
}

/** @param {string} name */
function printName(name) {
    const first = strip(name.split("=")[0]).toLowerCase()
    const looksLikeAKey = name.includes("=") && (KEYS.includes(first) || first === "w")
    return escapeText(looksLikeAKey || name.startsWith("./") ? `./${name}` : name)
}
