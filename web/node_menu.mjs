/** What the host's menu of our nodes offers besides its own. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { actOnCard, canActOnCard } from "./card_acts.mjs?v=0.1.0"
import { parsePrompt } from "./grammar.mjs?v=0.1.0"
import { textWidgets, toast } from "./host.mjs?v=0.1.0"
import { typeOf } from "./host_canvas.mjs?v=0.1.0"
import { meaningOf } from "./meanings.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./host.mjs").Node} Node @typedef {import("./card_acts.mjs").Act} Act */

const NAMING = new Set(["LoraStackAdd", "LoraStackRows", "PromptLoraParser", "LoraTextEncode"])

/** @param {Node} node @param {import("./rows.mjs").RowsWidget|null} rows @returns {string[]} the LoRAs that a node names */
function namesOn(node, rows) {
    if (rows) return rows.rows.map(row => row.name)
    const own = (node.widgets ?? []).find((/** @type {any} */ widget) => widget.name === "lora_name")
    const names = own ? [String(own.value ?? "")] : textWidgets(node).flatMap(widget => parsePrompt(String(widget.value)).entries.map(entry => entry.name))
    return [...new Set(names.filter(Boolean))]
}

/** @param {Act} act @param {string} name */
async function act(act, name) {
    const { card } = await meaningOf(name)
    if (card) actOnCard(act, card)
    else toast("warn", t("rows.missing"), name)
}

/**
 * @param {Node} node
 * @param {import("./rows.mjs").RowsWidget|null} rows that it shows
 * @returns {({content: string, callback: () => void}|null)[]}
 */
export function nodeMenu(node, rows) {
    if (!NAMING.has(typeOf(node)) && !rows) return []
    const names = namesOn(node, rows)
    const one = (/** @type {Act} */ kind, /** @type {string} */ label) => ({
        content: label,
        callback: () => {
            const [first, second] = names
            if (!second) return void act(kind, first)
            const place = { x: innerWidth / 2 - 120, y: innerHeight / 3 }
            setTimeout(() => openMenu(label, [label, ...names.map(name => ({ text: titleOf(name), run: () => void act(kind, name) }))], place), 0)
        },
    })
    return [
        null,
        ...(names.length && canActOnCard("edit") ? [one("edit", t("menu.edit"))] : []),
        ...(names.length && canActOnCard("show") ? [one("show", t("menu.show"))] : []),
        ...(rows ? [
            { content: t("rows.as_tags"), callback: () => void rows.copyTags() },
            { content: t("rows.from_tags"), callback: () => setTimeout(() => rows.pasteTags(), 0) },
        ] : []),
    ]
}
