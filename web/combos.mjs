/** Combos of the host's own nodes list LoRA files, too: they are asked for anew when files came or went. */

import { onEvent, refreshCombos } from "./host.mjs?v=0.1.0"

/** A copy of many files is one change; to describe all nodes takes the host a while. */
const WAIT_MS = 2000

/** @type {ReturnType<typeof setTimeout>|undefined} */ let waiting

/** Begins to listen. Called once. */
export function watchFiles() {
    onEvent("lora-deck.changed", ({ added, removed }) => {
        if (!added && !removed) return
        clearTimeout(waiting)
        waiting = setTimeout(refreshCombos, WAIT_MS)
    })
}
