/** The filter popover and the row of chips for what is on. */

import { h, icon } from "./dom.mjs?v=0.1.0"
import { hueOf } from "./placeholder.mjs?v=0.1.0"
import { NO_FILTERS, filtersOn, state, update } from "./store.mjs?v=0.1.0"
import { number, t } from "./words.mjs?v=0.1.0"

const TAGS_AT_FIRST = 12
/** @typedef {"favourite"|"used"|"inGraph"|"noPreview"|"missing"|"problem"} Flag */
const FLAGS = /** @type {const} */ (["favourite", "used", "inGraph", "noPreview", "problem", "missing"])
/** @typedef {"architectures"|"families"|"tags"} Several */

/**
 * @param {any} content
 * @param {boolean} on
 * @param {() => void} onClick
 * @param {number} [many]
 * @param {Record<string, any>} [more]
 */
export const chip = (content, on, onClick, many, more) =>
    h("button.ld-chip", { type: "button", "aria-pressed": String(on), onClick, ...more }, content,
        many !== undefined && h("span.ld-chip__n", null, number(many)))

/** @param {Several} key @param {string} value */
function toggleValue(key, value) {
    const now = state[key]
    update({ [key]: now.includes(value) ? now.filter(v => v !== value) : [...now, value] })
}

/** @param {Flag} flag */
const toggleFlag = flag => update({ [flag]: !state[flag] })

export const clearFilters = () => update({ ...NO_FILTERS, text: state.text, folder: state.folder })
export const clearEverything = () => update({ ...NO_FILTERS })

/** @param {string} value */
const valueName = value => value || t("deck.unknown")

/** Chips of the filters that are on, each taking its filter off. @returns {HTMLElement[]} */
export function activeChips() {
    const off = (/** @type {string} */ text, /** @type {() => void} */ run) =>
        chip([h("span.ld-trunc", null, text), icon("x", "ld-i--12")], true, run, undefined, { title: t("filters.off", { name: text }) })
    const several = /** @type {Several[]} */ (["architectures", "families", "tags"])
    return [
        ...several.flatMap(key => state[key].map(value => off(valueName(value), () => toggleValue(key, value)))),
        ...FLAGS.filter(flag => state[flag]).map(flag => off(t(`filters.${flag}`), () => toggleFlag(flag))),
    ]
}

/**
 * @param {any} counts as the server counts
 * @param {number} inGraph how many LoRAs the graph names
 * @param {boolean} allTags
 * @param {() => void} moreTags
 * @returns {HTMLElement}
 */
export function filterPopover(counts, inGraph, allTags, moreTags) {
    const values = (/** @type {Several} */ key, /** @type {Record<string, number>} */ found, /** @type {number} */ most) => {
        const shown = Object.entries(found).filter(([value], i) => i < most || state[key].includes(value))
        for (const value of state[key]) if (!shown.some(([v]) => v === value)) shown.push([value, found[value] ?? 0])
        return shown.map(([value, many]) => chip(
            [key === "architectures" && value !== "" && h("i.ld-dot", { style: { "--h": hueOf(value) } }), h("span.ld-trunc", null, valueName(value))],
            state[key].includes(value), () => toggleValue(key, value), many, { "data-key": `${key}:${value}` }))
    }
    const set = (/** @type {string} */ name, /** @type {any[]} */ content) =>
        content.length > 0 && h("fieldset", null, h("legend", null, t(`filters.${name}`)), content)
    const many = { favourite: counts.favourite, used: counts.used, inGraph, noPreview: counts.no_preview, problem: counts.problem, missing: counts.missing }
    const tags = values("tags", counts.tag, allTags ? Infinity : TAGS_AT_FIRST)
    if (!allTags && Object.keys(counts.tag).length > TAGS_AT_FIRST) tags.push(h("button.ld-chip", { type: "button", onClick: moreTags }, t("filters.more")))
    return h("div.ld-pop.ld-filter.ld-scroll", { role: "dialog", "aria-label": t("filters.label"), tabindex: -1 },
        set("architectures", values("architectures", counts.architecture, Infinity)),
        set("families", values("families", counts.family, Infinity)),
        set("tags", tags),
        set("state", FLAGS.map(flag => chip(t(`filters.${flag}`), state[flag], () => toggleFlag(flag), many[flag], { "data-key": flag }))),
        h("div.ld-filter__f", null, h("span.ld-muted", null, t("filters.shown", { count: counts.total, all: counts.all ?? counts.total })),
            h("button.ld-b.ld-b--28.ld-b--quiet", { type: "button", disabled: !filtersOn(), onClick: clearFilters }, t("filters.clear"))))
}
