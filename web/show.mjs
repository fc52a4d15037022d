/** Showing a card in the sidebar, from wherever its LoRA stands. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { toggleSidebarTab } from "./host.mjs?v=0.1.0"
import { NO_FILTERS, update } from "./store.mjs?v=0.1.0"

export const TAB = "lora-deck"

/** Opens the sidebar, if it is closed. */
export function openDeck() {
    if (!document.querySelector("lora-deck")) toggleSidebarTab(TAB)
}

/** @param {import("./library.mjs").Card} card */
export function showInDeck(card) {
    openDeck()
    update({ ...NO_FILTERS, folder: card.folder, text: titleOf(card.name), fits: false, scroll: 0 })
}
