/** The menus of the panel: size, order, and what is asked for seldom. */

import { setSetting } from "./host.mjs?v=0.1.0"
import { hashing } from "./library.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** Order → whether it begins with the last. */
const ORDERS = { name: false, path: false, added: true, modified: true, size: true, most_used: true, recently_used: true }
const SIZES = /** @type {const} */ (["list", "small", "medium", "large"])

export const orderName = () => t(`view.orders.${state.order}`)

/** @returns {(import("./menu.mjs").Item|string|null)[]} */
export const viewItems = () => [
    ...SIZES.map(size => ({ text: t(`view.sizes.${size}`), icon: size, kind: /** @type {const} */ ("radio"), on: state.size === size, run: () => update({ size }) })),
    null,
    t("view.order"),
    ...Object.entries(ORDERS).map(([order, descending]) => ({
        text: t(`view.orders.${order}`), icon: /** @type {"sort"|""} */ (state.order === order ? "sort" : ""), kind: /** @type {const} */ ("radio"), on: state.order === order,
        run: () => update({ order, descending }),
    })),
    null,
    { text: t("view.reverse"), kind: "check", on: state.descending, run: () => update({ descending: !state.descending }) },
    { text: t("view.folders_first"), icon: "folder", kind: "check", on: Boolean(chosen("FoldersFirst")), run: () => setSetting("LoRADeck.FoldersFirst", !chosen("FoldersFirst")) },
    { text: t("view.blur"), icon: "eyeoff", kind: "check", on: chosen("BlurAdult") !== false, run: () => setSetting("LoRADeck.BlurAdult", chosen("BlurAdult") === false) },
]

/** @param {any} hash how far hashing is @returns {(import("./menu.mjs").Item|null)[]} */
export const moreItems = hash => [
    hash?.running ? { text: t("progress.stop"), icon: "pause", run: () => void hashing("cancel") }
        : { text: t("progress.start"), icon: "hash", run: () => void hashing("start") },
    null,
    { text: t("view.ask_again"), icon: "unlink", run: () => setSetting("LoRADeck.Connect", "ask") },
]
