/** What the user chose in the deck. It outlives the tab, which the host destroys when it is closed. */

/** @typedef {"list"|"small"|"medium"|"large"} Size */

/** The choices that narrow the list, at rest. */
export const NO_FILTERS = {
    text: "",
    folder: "",
    /** @type {string[]} */ architectures: [],
    /** @type {string[]} */ families: [],
    /** @type {string[]} */ tags: [],
    favourite: false,
    used: false,
    inGraph: false,
    noPreview: false,
    missing: false,
    problem: false,
}

export const state = {
    ...NO_FILTERS,
    /** Only what fits the checkpoint of the graph, where that is known. */
    fits: true,
    order: "name",
    descending: false,
    /** @type {Size} */ size: "medium",
    tree: false,
    /** @type {Set<string>} open folders */ open: new Set(),
    scroll: 0,
    /** Index of the card that has the list's one tab stop. */
    focus: 0,
    /** @type {Map<number, import("./library.mjs").Card|null>} id → card, `null` while it is not here */ picked: new Map(),
    /** @type {Set<number>} adult previews shown on request, until the page is loaded again */ shown: new Set(),
}

/** @typedef {typeof state} State */

/** @type {Set<(patch: Partial<State>) => void>} */ const listeners = new Set()

/** @param {Partial<State>} patch */
export function update(patch) {
    Object.assign(state, patch)
    for (const listener of listeners) listener(patch)
}

/** @param {(patch: Partial<State>) => void} listener @returns {() => void} ends it */
export function onUpdate(listener) {
    listeners.add(listener)
    return () => listeners.delete(listener)
}

/** How many filters are on, search text, folder and the checkpoint's aside. */
export const filtersOn = () =>
    state.architectures.length + state.families.length + state.tags.length +
    [state.favourite, state.used, state.inGraph, state.noPreview, state.missing, state.problem].filter(Boolean).length

/** Whether anything at all narrows the list. */
export const isNarrowed = () => Boolean(state.text || state.folder || filtersOn())
