/**
 * What an Apply did, drawn on its node: a line per file, the rest of what is known about it folded below.
 *
 * @typedef {{reason: string, fine: boolean, names: string[], count: number}} Unmatched
 * @typedef {object} FileReport
 * @property {string} name below its folder
 * @property {number} te
 * @property {number} unet
 * @property {[string, number][]} families with their modules
 * @property {[number, number]|null} ranks
 * @property {number} te_modules
 * @property {number} unet_modules
 * @property {number} modules
 * @property {string} blocks
 * @property {string} ranks_by_block
 * @property {Unmatched[]} unmatched
 * @property {string[]} embeddings
 * @property {string[]} in_blocks
 * @property {string[]} notes
 * @typedef {object} Report
 * @property {FileReport[]} files
 * @property {{tag: string, reason: string}[]} left_out
 * @property {string[]} notes
 * @property {number} seconds
 * @property {boolean} reused
 * @property {string} sampling_pass
 * @property {string|null} architecture
 * @property {string[]} ids
 */

import { cutInTheMiddle, titleOf } from "./card.mjs?v=0.1.0"
import { h, icon } from "./dom.mjs?v=0.1.0"
import { familyName } from "./inspect.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** @typedef {"ok"|"off"|"warn"|"bad"} State */

/** @type {Record<State, import("./dom.mjs").IconName>} */
const ICONS = { ok: "check", off: "minus", warn: "warn", bad: "bad" }

/** @param {Unmatched} one */
function unmatched({ reason, names, count: all }) {
    const more = all - names.length
    const shown = names.join(", ") + (more > 0 ? t("report.more", { count: more }) : "")
    return t("report.unmatched", { count: all, reason, names: shown })
}

/** @param {FileReport} file @returns {State} */
function stateOf(file) {
    if (!file.te && !file.unet) return "off"
    if (!(file.te_modules + file.unet_modules)) return "bad"
    return file.notes.length || file.unmatched.some(each => !each.fine) ? "warn" : "ok"
}

/** @param {FileReport} file @returns {string} */
function line(file) {
    if (!file.te && !file.unet) return t("report.off")
    const ranks = file.ranks && t("inspect.rank", { rank: [...new Set(file.ranks)].join("–") })
    const family = [file.families.map(([name]) => familyName(name)).join(", "), ranks].filter(Boolean).join(", ")
    return [t("report.matched", { matched: file.te_modules + file.unet_modules, modules: file.modules }), family].filter(Boolean).join(" · ")
}

/** @param {string} name of a file, or a tag */
const named = name => h("b", { title: name }, cutInTheMiddle(name))

/** @param {string} sentence */
const said = sentence => h("b", null, sentence)

/** @param {State} state @param {HTMLElement} title @param {string} weights @param {string[]} below @param {string[]} more folded */
function row(state, title, weights, below, more) {
    const head = [icon(ICONS[state]), title, weights && h("span.ld-num", null, weights), ...below.map(text => h("small", null, text))]
    return h("li", { class: `is-${state}` }, more.length
        ? h("details", null, h("summary", null, head), h("ul", null, more.map(text => h("li", null, text))))
        : h("div", null, head))
}

/** @param {FileReport} file */
function fileRow(file) {
    const faults = [...file.unmatched.filter(each => !each.fine).map(unmatched), ...file.notes]
    const more = [
        file.name,
        ...(file.te || file.unet ? [t("report.where", { unet: file.unet_modules, te: file.te_modules })] : []),
        ...file.families.map(([name, modules]) => t("report.family", { name: familyName(name), modules })).filter(() => file.families.length > 1),
        ...(file.blocks ? [t("rows.blocks", { blocks: file.blocks })] : []),
        ...(file.ranks_by_block ? [t("inspect.rank", { rank: file.ranks_by_block })] : []),
        ...file.unmatched.filter(each => each.fine).map(unmatched),
        ...faults.slice(1),
        ...file.embeddings.map(name => `embedding:${name}`),
    ]
    return row(stateOf(file), named(titleOf(file.name)), t("report.weights", { te: file.te, unet: file.unet }), [line(file), ...faults.slice(0, 1)], more)
}

/** @param {HTMLElement[]} rows @param {...HTMLElement} foot */
const frame = (rows, ...foot) => h("div.ld.ld-wid.ld-repbox", { role: "region", "aria-label": t("report.label") },
    h("ul.ld-rep.ld-scroll", { tabindex: 0 }, rows), foot)

/** @param {Report} report @returns {HTMLElement} */
export function drawReport(report) {
    const applied = report.files.filter(file => ["ok", "warn"].includes(stateOf(file))).length
    const all = report.files.length + report.left_out.length
    const rows = [
        ...report.files.map(fileRow),
        ...report.left_out.map(({ tag, reason }) => row("bad", named(tag), t("report.not_applied"), [reason], [])),
        ...report.notes.map(note => row("warn", said(note), "", [], [])),
    ]
    if (!all) rows.unshift(row("off", said(t("report.empty")), "", [], []))
    const time = report.reused ? t("report.reused") : t("report.seconds", { seconds: Math.round(report.seconds * 100) / 100 })
    return frame(rows, h("div.ld-rep__f", null, h("span", null, t("report.applied", { count: applied, all })), h("span", null, `${time} · ${t("report.pass", { name: report.sampling_pass })}`)))
}

/** @param {string} message @returns {HTMLElement} */
export const drawFault = message => frame([row("bad", said(t("report.fault")), "", message.trim().split("\n"), [])])
