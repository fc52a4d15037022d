/** The only file that the host loads by itself; everything else is imported from here. */

import { noteBlockLayout } from "./block_layouts.mjs?v=0.1.0"
import { colourLinks, onServerEvent, registerExtension } from "./host.mjs?v=0.1.0"

const LINK_COLOURS = { LORA_DECK_STACK: "#e0a458", LORA_STACK: "#b08968" }

registerExtension({
    name: "LoRADeck",
    setup() {
        colourLinks(LINK_COLOURS)
        onServerEvent("lora-deck.blocks", noteBlockLayout)
    },
})
