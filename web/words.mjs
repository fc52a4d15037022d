/** The words of the deck, from `locales/<language>/main.json` as the host serves them. */

import { locale, request } from "./host.mjs?v=0.1.0"

/** @type {Record<string, any>} */ let own = {}
/** @type {Record<string, any>} */ let english = {}
/** @type {Intl.NumberFormat} */ let numbers = new Intl.NumberFormat("en")
/** @type {Intl.PluralRules} */ let plurals = new Intl.PluralRules("en")

/** Reads the words once; until then, and where the server does not answer, keys stand for texts. */
export async function loadWords() {
    const answer = await request("/i18n")
    const all = answer.ok ? await answer.json() : {}
    const language = locale()
    english = all.en?.lora_deck ?? {}
    own = (all[language] ?? all[language.split("-")[0]])?.lora_deck ?? english
    numbers = new Intl.NumberFormat(language)
    plurals = new Intl.PluralRules(language)
}

/** @param {string} key @param {Record<string, any>} tree @returns {string|undefined} */
const find = (key, tree) => /** @type {any} */ (key.split(".").reduce((/** @type {any} */ at, part) => at?.[part], tree))

/**
 * @param {string} key below `lora_deck`
 * @param {Record<string, string|number>} [values] for `{name}` in the text; numbers are written in the user's way
 * @returns {string}
 */
export function t(key, values = {}) {
    const text = find(key, own) ?? find(key, english) ?? key
    return text.replace(/\{(\w+)\}/g, (all, name) => {
        const value = values[name]
        return value === undefined ? all : typeof value === "number" ? number(value) : value
    })
}

/**
 * As `t`, with a text per plural form: `key.one`, `key.other`.
 *
 * @param {string} key
 * @param {number} count also `{count}` in the text
 * @param {Record<string, string|number>} [values]
 */
export function count(key, count, values = {}) {
    const form = `${key}.${plurals.select(count)}`
    const known = find(form, own) ?? find(form, english)
    return t(known === undefined ? `${key}.other` : form, { ...values, count })
}

/** @param {number} value */
export const number = value => numbers.format(value)

/** @param {number} bytes */
export function bytes(bytes) {
    const steps = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"]
    let step = 0
    for (; bytes >= 1000 && step < steps.length - 1; step++) bytes /= 1000
    const digits = bytes < 10 && step > 0 ? 1 : 0
    return new Intl.NumberFormat(numbers.resolvedOptions().locale, {
        style: "unit", unit: steps[step], unitDisplay: "short", maximumFractionDigits: digits,
    }).format(bytes)
}

/** @param {number} seconds since 1970 @returns {string} the day, in the user's way */
export const day = seconds => new Intl.DateTimeFormat(numbers.resolvedOptions().locale, { dateStyle: "medium" }).format(seconds * 1000)

/** @param {number} seconds since 1970 @returns {string} the time of day; with the day if that is another */
export function time(seconds) {
    const when = new Date(seconds * 1000)
    const today = when.toDateString() === new Date().toDateString()
    return new Intl.DateTimeFormat(numbers.resolvedOptions().locale, { timeStyle: "short", ...(today ? {} : { dateStyle: "medium" }) }).format(when)
}
