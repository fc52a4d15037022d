/** What the deck puts into nodes. */

import { BARS_HEIGHT, Bars } from "./bars.mjs?v=0.1.0"
import { blocksBehind } from "./bars_model.mjs?v=0.1.0"
import { offerCardAct } from "./card_acts.mjs?v=0.1.0"
import { openCard } from "./dialog.mjs?v=0.1.0"
import { watchDrags } from "./drag.mjs?v=0.1.0"
import { asOneStep, onEvent } from "./host.mjs?v=0.1.0"
import { customWidgets, growNode, remountSoon, watchMounts, widen } from "./host_canvas.mjs?v=0.1.0"
import { placePromoted } from "./host_promoted.mjs?v=0.1.0"
import { forgetMeanings } from "./meanings.mjs?v=0.1.0"
import { ROWS_WIDTH, RowsWidget, redrawRows, rowsOf, setRowsOf } from "./rows.mjs?v=0.1.0"
import { NAME_HEIGHT, NameWidget, redrawNames } from "./name_widget.mjs?v=0.1.0"
import { nodeMenu } from "./node_menu.mjs?v=0.1.0"
import { watchReports } from "./report_node.mjs?v=0.1.0"
import { openDeck, showInDeck } from "./show.mjs?v=0.1.0"

/** @typedef {import("./host.mjs").Node} Node @typedef {import("./host.mjs").Widget} Widget */

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
            setRowsOf(made, shown)
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

/** @param {Node} node */
function bars(node) {
    /** @type {Widget|null} */ let widget = null
    const shown = new Bars(value => asOneStep(() => {
        if (widget) widget.value = value
    }), () => blocksBehind(node))
    shownBars.add(new WeakRef(shown))
    return {
        part: { element: shown.element, get: () => shown.text, set: (/** @type {any} */ value) => shown.set(value), minHeight: () => BARS_HEIGHT, minWidth: 300 },
        ready: (/** @type {Widget} */ made) => {
            widget = made
            widen(node, 400)
        },
    }
}

/** @type {Set<WeakRef<Bars>>} */ const shownBars = new Set()

/** The connected model may be another one. */
function lookAtModels() {
    for (const reference of shownBars) {
        const each = reference.deref()
        if (!each) shownBars.delete(reference)
        else if (each.element.isConnected && !each.held) void each.look()
    }
}

const TYPES = { LORA_DECK_ROWS: rows, LORA_DECK_NAME: name, LORA_DECK_BLOCKS: bars }

/** For the extension's `getCustomWidgets`. */
export const nodeWidgets = () => customWidgets(TYPES)

/** After whatever may have made nodes of subgraphs, or shown another widget on them. */
export const promoteSoon = () => void setTimeout(() => placePromoted(TYPES), 0)

/** For the extension's `getNodeMenuItems`. @param {Node} node */
export const nodeMenuItems = node => nodeMenu(node, rowsOf(node))

/** Begins to watch what widgets show. Called once. */
export function watchCanvas() {
    offerCardAct("show", showInDeck)
    offerCardAct("edit", card => void openCard(card.id))
    watchMounts()
    watchDrags()
    onEvent("graphChanged", remountSoon)
    onEvent("graphChanged", promoteSoon)
    onEvent("graphChanged", () => setTimeout(lookAtModels, 50))
    watchReports(() => setTimeout(lookAtModels, 50))
    onEvent("lora-deck.changed", () => {
        forgetMeanings()
        redrawRows()
        redrawNames()
    })
}
