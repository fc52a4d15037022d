/** What stands in place of cards: nothing there yet, nothing found, the server silent, still waiting. */

import { copyText } from "./clipboard.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

const SVG = "http://www.w3.org/2000/svg"

/** @param {string} figure path data in the middle card */
function art(figure) {
    const svg = document.createElementNS(SVG, "svg")
    const draw = (/** @type {string} */ tag, /** @type {Record<string, string>} */ given) => {
        const shape = document.createElementNS(SVG, tag)
        for (const [key, value] of Object.entries(given)) shape.setAttribute(key, value)
        svg.append(shape)
    }
    for (const [key, value] of Object.entries({ viewBox: "0 0 132 104", fill: "none", stroke: "currentColor", "stroke-width": "2", "stroke-linejoin": "round" })) svg.setAttribute(key, value)
    draw("rect", { x: "18", y: "24", width: "52", height: "66", rx: "7", transform: "rotate(-9 44 57)" })
    draw("rect", { x: "62", y: "24", width: "52", height: "66", rx: "7", transform: "rotate(9 88 57)" })
    draw("rect", { x: "40", y: "16", width: "52", height: "72", rx: "7", fill: "var(--ld-surface)", "stroke-dasharray": "5 5" })
    draw("path", { d: figure, "stroke-linecap": "round" })
    return h("div.ld-blank__art", { "aria-hidden": true }, svg)
}

/** @param {string} text @param {() => void} onClick @param {string} [more] classes */
const button = (text, onClick, more = "") => h("button.ld-b", { type: "button", class: more, onClick }, text)

/** @param {string[]} folders @param {() => void} again */
export const empty = (folders, again) =>
    h("div.ld-blank", null, art("M66 40v24M54 52h24"), h("h3", null, t("blank.empty")), h("p", null, t("blank.empty_do")),
        h("ul.ld-paths", null, folders.map(folder => h("li", null, icon("folder"), h("code", { title: folder }, folder),
            iconButton("copy", t("blank.copy_path", { path: folder }), { class: "ld-ib--28", onClick: () => copyText(folder) })))),
        button(t("blank.again"), again, "ld-b--go"), h("p.ld-hint", null, t("blank.kinds")))

/**
 * @param {{text: string, hidden: number, fits: string, suggestion: string}} found
 * @param {{suggest: (text: string) => void, showHidden: () => void, clear: () => void}} act
 */
export const noHits = ({ text, hidden, fits, suggestion }, act) =>
    h("div.ld-blank", null, art("M53 48a11 11 0 1 0 22 0 11 11 0 1 0-22 0M72 56l9 9"),
        h("h3", null, text ? t("blank.no_hits", { text }) : t("blank.no_hits_filter")),
        suggestion && h("p", null, t("blank.mean"), " ", h("button.ld-link", { type: "button", onClick: () => act.suggest(suggestion) }, suggestion), "?"),
        hidden > 0 && button(count("blank.show_hidden", hidden, { fits }), act.showHidden),
        button(t("blank.clear"), act.clear, "ld-b--quiet"))

/** @param {number} seconds until the next try @param {() => void} now */
export const offline = (seconds, now) =>
    h("div.ld-note.ld-note--bad", { role: "alert" }, icon("off"),
        h("div.ld-grow", null, h("b", null, t("blank.offline")), t("blank.offline_do"), " ", h("span", null, t("blank.trying", { seconds }))),
        h("button.ld-b.ld-b--28", { type: "button", style: { "align-self": "center" }, onClick: now }, t("blank.try_now")))

/** @param {string} message @param {() => void} again */
export const failed = (message, again) =>
    h("div.ld-note.ld-note--bad", { role: "alert" }, icon("bad"), h("div.ld-grow", null, h("b", null, t("blank.failed")), message),
        h("button.ld-b.ld-b--28", { type: "button", style: { "align-self": "center" }, onClick: again }, t("blank.again")))

/** The cards' places while the first ones are fetched. */
export const skeleton = () =>
    h("div.ld-skels", { "aria-hidden": true }, Array.from({ length: 8 }, (_, k) => h("div.ld-card", null,
        h("div.ld-skel", { style: { "aspect-ratio": 1, "animation-delay": `${k * 70}ms` } }),
        h("div.ld-skel", { style: { height: "13px", margin: "8px 1px 0", width: `${72 - (k % 3) * 16}%`, "border-radius": "4px" } }),
        h("div.ld-skel", { style: { height: "10px", margin: "7px 1px 5px", width: "40%", "border-radius": "4px" } }))))
