/**
 * The value of `LoraStackRows`, the twin of `stack/rows.py`; both are held to `tests/conformance/rows.json`. Pure: every
 * change gives a new value.
 *
 * @typedef {import("./grammar.mjs").Entry} Entry
 * @typedef {{on?: boolean, name: string, te?: number, unet?: number, dyn?: number|null, lbw?: string|null, lbwe?: string|null,
 *     x?: number|null, hr_te?: number|null, hr_unet?: number|null, extra?: [string, string][], [further: string]: any}} Row
 * @typedef {{lora_deck: number, on: boolean, rows: Row[], [further: string]: any}} Value
 */

import { parsePrompt, printTag } from "./grammar.mjs?v=0.1.0"

const VERSION = 1
const DEFAULTS = { dyn: null, lbw: null, lbwe: null, x: null, hr_te: null, hr_unet: null }

/** @returns {Value} */
export const emptyRows = () => ({ lora_deck: VERSION, on: true, rows: [] })

/**
 * Reads what a workflow may hold: the object, the same as text, a bare list, or tags.
 *
 * @param {unknown} given
 * @returns {Value|null} `null` where it is none of these, or of a later version: it must then stay as it is
 */
export function readRows(given) {
    if (given === null || given === undefined || given === "") return emptyRows()
    if (typeof given === "string") {
        if (!/^\s*[[{]/.test(given)) {
            const rows = rowsFromTags(given)
            return rows.length ? { ...emptyRows(), rows } : null
        }
        try {
            return readRows(JSON.parse(given))
        } catch {
            return null
        }
    }
    if (Array.isArray(given)) return readRows({ ...emptyRows(), rows: given })
    if (typeof given !== "object") return null
    const value = /** @type {Record<string, any>} */ (given)
    if (!Array.isArray(value.rows) || !value.rows.every(isRow) || !(Math.floor(value.lora_deck ?? VERSION) === VERSION)) return null
    return { ...value, lora_deck: value.lora_deck ?? VERSION, on: value.on !== false, rows: value.rows }
}

/** @param {any} row */
const isRow = row => row !== null && typeof row === "object" && typeof row.name === "string" &&
    [row.te, row.unet].every(weight => weight === undefined || Number.isFinite(weight))

/** @param {Row} row */
export const isOn = row => row.on !== false

/** @param {Row} row @returns {Entry} */
export const entryOf = ({ on, name, te = 1, unet = 1, extra = [], ...more }) =>
    ({ ...DEFAULTS, ...more, name, te, unet, extra })

/** @param {Partial<Entry> & {name: string}} entry @returns {Row} that is on, without what equals its default */
export function rowOf({ name, te = 1, unet = te, extra = [], ...more }) {
    const said = Object.entries(more).filter(([, value]) => value !== null && value !== undefined)
    return { on: true, name, te, unet, ...Object.fromEntries(said), ...(extra.length ? { extra } : {}) }
}

/** @param {Value} value @returns {string} the rows that are on, as tags */
export const rowsAsTags = value => value.rows.filter(isOn).map(row => printTag(entryOf(row))).join(" ")

/** @param {string} text @returns {Row[]} one for each tag */
export const rowsFromTags = text => parsePrompt(text).entries.map(rowOf)

/** @param {Value} value @param {Row[]} rows @param {number} [at] place among the rows, the end if not said @returns {Value} */
export function withRows(value, rows, at = value.rows.length) {
    return { ...value, rows: [...value.rows.slice(0, at), ...rows, ...value.rows.slice(at)] }
}

/** @param {Value} value @param {number} index @param {Row|null} row `null` takes it out @returns {Value} */
export const replaced = (value, index, row) =>
    ({ ...value, rows: value.rows.flatMap((old, i) => (i !== index ? [old] : row ? [row] : [])) })

/** @param {Value} value @param {number} from @param {number} to place among the rows as they are @returns {Value} */
export function moved(value, from, to) {
    const rows = value.rows.filter((_, i) => i !== from)
    rows.splice(to > from ? to - 1 : to, 0, value.rows[from])
    return { ...value, rows }
}

/**
 * A row with other values; those that are `null` are left out, and a schedule that stood for a weight goes with the old one.
 *
 * @param {Row} row
 * @param {Partial<Row>} patch
 * @returns {Row}
 */
export function changed(row, patch) {
    /** @type {Record<string, any>} */ const next = { ...row, ...patch }
    for (const key of Object.keys(DEFAULTS)) if (key in patch && (next[key] === null || next[key] === "")) delete next[key]
    const spoken = { te: "te", unet: "unet", x: "x", hr_te: "hrte", hr_unet: "hrunet" }
    const stale = Object.entries(spoken).filter(([key]) => key in patch).map(([, name]) => name)
    if (row.extra && stale.length) {
        const extra = row.extra.filter(([key]) => !stale.includes(key))
        if (extra.length) next.extra = extra
        else delete next.extra
    }
    return /** @type {Row} */ (next)
}

/** @param {number} value @returns {number} a weight without the dust of floating point */
export const tidy = value => Math.round(value * 1000) / 1000
