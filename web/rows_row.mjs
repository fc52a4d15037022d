/** One row of a LoRA stack as elements. */

import { cutInTheMiddle, isVideo, titleOf } from "./card.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { thumbnail } from "./library.mjs?v=0.1.0"
import { hueOf, placeholder } from "./placeholder.mjs?v=0.1.0"
import { isOn, tidy } from "./rows_value.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { weightField } from "./weight_field.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/**
 * @typedef {import("./rows_value.mjs").Row} Row
 * @typedef {import("./meanings.mjs").Meaning} Meaning
 * @typedef {object} Acts what a row's controls do
 * @property {(patch: Partial<Row>) => void} change
 * @property {() => void} split opens the link between te and unet
 * @property {() => void} join
 * @property {(at: HTMLElement) => void} menu
 * @property {(key: "blocks"|"rank"|"hires", at: HTMLElement) => void} edit
 * @property {(at: HTMLElement) => void} remedy
 * @property {(event: PointerEvent) => void} lift
 * @property {() => void} leave gives the keyboard back to the row
 * @property {(dragging: boolean) => void} hold
 */

/** @param {Row} row */
export const weightsOf = ({ te = 1, unet = 1 }) => ({ te, unet })

/** @param {Row} row @returns {{key: "blocks"|"rank"|"hires", text: string}[]} what is set beside the weights */
export function chipsOf(row) {
    /** @type {{key: "blocks"|"rank"|"hires", text: string}[]} */ const chips = []
    if (row.lbw) chips.push({ key: "blocks", text: t("rows.blocks", { blocks: row.lbw }) })
    if (row.dyn != null) chips.push({ key: "rank", text: t("rows.rank", { rank: String(row.dyn) }) })
    const { hr_te, hr_unet } = row
    if (hr_te != null && hr_te === hr_unet) chips.push({ key: "hires", text: t("rows.hires", { weight: String(hr_te) }) })
    else if (hr_te != null || hr_unet != null) {
        const parts = [hr_te != null && `te ${hr_te}`, hr_unet != null && `unet ${hr_unet}`].filter(Boolean).join(", ")
        chips.push({ key: "hires", text: t("rows.hires", { weight: parts }) })
    }
    return chips
}

/** @param {Row} row @param {string} problem @returns {string} what a screen reader says of it */
function said(row, problem) {
    const { te, unet } = weightsOf(row)
    const weights = te === unet ? String(unet) : `te ${te}, unet ${unet}`
    return [titleOf(row.name), !isOn(row) && t("rows.off"), weights, ...chipsOf(row).map(chip => chip.text), problem].filter(Boolean).join(", ")
}

/** @param {string} name @param {Meaning|undefined} meaning @returns {Element} its small picture */
export function pictureOf(name, meaning) {
    const card = meaning?.card
    const title = titleOf(name)
    if (meaning?.problem) return h("div.ld-gone", null, icon("find", "ld-i--20"))
    const hidden = card?.adult && chosen("BlurAdult")
    if (!card?.preview_version || isVideo(card) || hidden) return placeholder(title, card?.architecture ?? null)
    const image = h("img", { alt: "", draggable: false, decoding: "async", src: thumbnail(card, 128) })
    image.addEventListener("error", () => image.replaceWith(placeholder(title, card.architecture)), { once: true })
    return image
}

/**
 * @param {Row} row
 * @param {Meaning|undefined} meaning `undefined`: not known yet
 * @param {{index: number, current: boolean, split: boolean}} place
 * @param {Acts} acts
 * @returns {HTMLElement}
 */
export function drawRow(row, meaning, { index, current, split }, acts) {
    const title = titleOf(row.name)
    const tab = current ? 0 : -1
    const { te, unet } = weightsOf(row)
    const card = meaning?.card
    const problem = meaning?.problem ? t(`rows.${meaning.problem}`) : ""
    const family = card?.family && card.family !== "LoRA" ? ` · ${card.family}` : ""
    const base = card ? (card.architecture || t("deck.unknown")) + family : ""
    const at = (/** @type {string} */ part) => `${index}/${part}`
    const field = (/** @type {"te"|"unet"|""} */ key) => weightField({
        name: key ? t(`rows.${key}_of`, { name: title }) : t("rows.weight_of", { name: title }), label: key, at: at(key || "weight"),
        value: key === "te" ? te : unet, tab, leave: acts.leave, hold: acts.hold,
        commit: value => acts.change(key ? { [key]: tidy(value) } : { te: tidy(value), unet: tidy(value) }),
    })
    const chips = chipsOf(row)
    const element = h("div.ld-rw__r", {
        role: "row", tabindex: tab, "aria-label": said(row, problem), "data-at": at("row"), "data-index": index, title: row.name,
        class: [!isOn(row) && "is-off", split && "is-split", problem && "is-warn"].filter(Boolean).join(" "),
    },
    h("span.ld-rw__g", { "aria-hidden": true, onPointerdown: acts.lift }, icon("grip")),
    h("div.ld-rw__on", { role: "gridcell" }, h("button.ld-sw", {
        type: "button", role: "switch", "aria-checked": isOn(row), "aria-label": t("rows.on", { name: title }), tabindex: tab, "data-at": at("on"),
        onClick: () => acts.change({ on: !isOn(row) }),
    }, h("i"))),
    h("div.ld-pic", { "aria-hidden": true }, pictureOf(row.name, meaning)),
    h("div.ld-rw__n", { role: "gridcell" }, cutInTheMiddle(title)),
    h("div.ld-rw__b", { role: "gridcell", title: base }, card && h("div.ld-meta", null,
        h("i.ld-dot", { style: { "--h": hueOf(card.architecture) } }), h("span.ld-trunc", null, base))),
    h("div.ld-rw__w", { role: "gridcell" },
        split && field("te"),
        iconButton(split ? "unlink" : "link", t("rows.together", { name: title }), {
            title: t(split ? "rows.join" : "rows.split"), "aria-pressed": !split, tabindex: tab, "data-at": at("link"), onClick: split ? acts.join : acts.split,
        }),
        field(split ? "unet" : "")),
    problem && h("div.ld-rw__x.is-warn", { role: "gridcell" }, icon("warn", "ld-i--12"), h("span.ld-grow", null, problem),
        h("button.ld-b.ld-b--28", { type: "button", tabindex: tab, "data-at": at("remedy"),
            onClick: (/** @type {Event} */ e) => acts.remedy(/** @type {HTMLElement} */ (e.currentTarget)) }, t(`rows.${meaning?.problem}_do`))),
    chips.length > 0 && h("div.ld-rw__x", { role: "gridcell" }, chips.map(({ key, text }) => h("button.ld-chip.ld-chip--24", {
        type: "button", "aria-haspopup": "dialog", tabindex: tab, "data-at": at(key), title: text,
        onClick: (/** @type {Event} */ e) => acts.edit(key, /** @type {HTMLElement} */ (e.currentTarget)),
    }, h("span.ld-trunc", null, text)))),
    h("div.ld-rw__m", { role: "gridcell" }, iconButton("more", t("rows.more", { name: title }), {
        title: t("deck.more"), "aria-haspopup": "menu", "aria-expanded": "false", tabindex: tab, "data-at": at("more"),
        onClick: (/** @type {Event} */ e) => acts.menu(/** @type {HTMLElement} */ (e.currentTarget)),
    })))
    return element
}
