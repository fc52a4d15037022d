/** What the deck puts into nodes. */

import { offerCardAct } from "./card_acts.mjs?v=0.1.0"
import { openCard } from "./dialog.mjs?v=0.1.0"
import { watchDrags } from "./drag.mjs?v=0.1.0"
import { asOneStep, onEvent } from "./host.mjs?v=0.1.0"
import { customWidgets, growNode, remountSoon, watchMounts, widen } from "./host_canvas.mjs?v=0.1.0"
import { forgetMeanings } from "./meanings.mjs?v=0.1.0"
import { ROWS_WIDTH, RowsWidget, redrawRows } from "./rows.mjs?v=0.1.0"
import { NAME_HEIGHT, NameWidget, redrawNames } from "./name_widget.mjs?v=0.1.0"
import { nodeMenu } from "./node_menu.mjs?v=0.1.0"
import { openDeck, showInDeck } from "./show.mjs?v=0.1.0"

/** @typedef {import("./host.mjs").Node} Node @typedef {import("./host.mjs").Widget} Widget */

/** @type {WeakMap<Widget, RowsWidget>} */ const rowsWidgets = new WeakMap()

/** @param {Node} node @returns {RowsWidget|null} the rows that a node shows */
export const rowsOf = node => (node.widgets ?? []).map((/** @type {Widget} */ widget) => rowsWidgets.get(widget)).find(Boolean) ?? null

/** @param {Node} node */
function rows(node) {
    /** @type {Widget|null} */ let widget = null
    const shown = new RowsWidget({
        commit: (value, grown) => asOneStep(() => {
            if (!widget) return
            widget.value = value
            if (grown) growNode(node, grown)
        }),
        openDeck,
    })
    return {
        part: { element: shown.element, get: () => shown.given, set: (/** @type {any} */ value) => shown.set(value), minHeight: () => shown.height, minWidth: ROWS_WIDTH },
        ready: (/** @type {Widget} */ made) => {
            widget = made
            rowsWidgets.set(made, shown)
            widen(node, ROWS_WIDTH + 20)
        },
    }
}

function name() {
    /** @type {Widget|null} */ let widget = null
    const shown = new NameWidget(value => asOneStep(() => {
        if (widget) widget.value = value
    }))
    return {
        part: { element: shown.element, get: () => shown.name, set: (/** @type {any} */ value) => shown.set(value), minHeight: () => NAME_HEIGHT, minWidth: 260 },
        ready: (/** @type {Widget} */ made) => {
            widget = made
        },
    }
}

/** For the extension's `getCustomWidgets`. */
export const nodeWidgets = () => customWidgets({ LORA_DECK_ROWS: rows, LORA_DECK_NAME: name })

/** For the extension's `getNodeMenuItems`. @param {Node} node */
export const nodeMenuItems = node => nodeMenu(node, rowsOf(node))

/** Begins to watch what widgets show. Called once. */
export function watchCanvas() {
    offerCardAct("show", showInDeck)
    offerCardAct("edit", card => void openCard(card.id))
    watchMounts()
    watchDrags(rowsOf)
    onEvent("graphChanged", remountSoon)
    onEvent("lora-deck.changed", () => {
        forgetMeanings()
        redrawRows()
        redrawNames()
    })
}
