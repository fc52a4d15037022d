/** The only file that the host loads by itself; everything else is imported from here. */

import { nodeMenuItems, nodeWidgets, promoteSoon, watchCanvas } from "./canvas.mjs?v=0.1.0"
import { watchFiles } from "./combos.mjs?v=0.1.0"
import { DeckElement } from "./deck.mjs?v=0.1.0"
import { h } from "./dom.mjs?v=0.1.0"
import { watchTags } from "./complete.mjs?v=0.1.0"
import { colourLinks, registerExtension, registerSidebarTab, toggleSidebarTab } from "./host.mjs?v=0.1.0"
import { hashesByDefault, watchInfotextDrops } from "./infotext_drop.mjs?v=0.1.0"
import { connect, planFor } from "./insert.mjs?v=0.1.0"
import { setLogging } from "./library.mjs?v=0.1.0"
import { afterOpening, beforeOpening, lookAgain, watchLeaving } from "./locks.mjs?v=0.1.0"
import { watchLooks } from "./inspect.mjs?v=0.1.0"
import { watchImages } from "./last_image.mjs?v=0.1.0"
import { redrawReports } from "./report_node.mjs?v=0.1.0"
import { chosen, settings } from "./settings.mjs?v=0.1.0"
import { TAB, openDeck } from "./show.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { watchPrompts } from "./target.mjs?v=0.1.0"
import { watchWeightKeys } from "./weight_keys.mjs?v=0.1.0"
import { loadWords, t } from "./words.mjs?v=0.1.0"

const LINK_COLOURS = { LORA_DECK_STACK: "#e0a458", LORA_STACK: "#b08968" }

/** @param {string} id of a setting that was changed */
function onSetting(id) {
    if (id === "LoRADeck.CardSize") update({ size: chosen("CardSize") })
    else if (id === "LoRADeck.FitsCheckpoint" && chosen("FitsCheckpoint") !== "left") update({ fits: chosen("FitsCheckpoint") === "on" })
    else if (id === "LoRADeck.Logging") void setLogging(chosen("Logging") === "detailed").catch(() => undefined)
    else if (id === "LoRADeck.BlurAdult") update({ picked: state.picked })
    else if (id === "LoRADeck.FoldersFirst") update({ folder: state.folder })
}

/** A tag was completed where nothing reads it. @param {import("./flow.mjs").Field} field */
async function onUnread(field) {
    const plan = chosen("Connect") === "insert" ? null : planFor(field)
    if (!plan) return
    if (chosen("Connect") === "connect") return connect(plan)
    openDeck()
    await new Promise(requestAnimationFrame)
    const element = /** @type {DeckElement|null} */ (document.querySelector("lora-deck"))
    element?.deck?.gestures.askAbout(plan)
}

registerExtension({
    name: "LoRADeck",
    settings: settings(onSetting),
    commands: [
        { id: "LoRADeck.Toggle", label: "Open LoRA Deck", icon: "pi pi-images", function: () => toggleSidebarTab(TAB) },
        { id: "LoRADeck.Missing", label: "LoRAs of this workflow", icon: "pi pi-search", function: () => void lookAgain() },
    ],
    keybindings: [{ combo: { key: "l", alt: true }, commandId: "LoRADeck.Toggle" }],
    getCustomWidgets: nodeWidgets,
    getNodeMenuItems: nodeMenuItems,
    beforeConfigureGraph: beforeOpening,
    afterConfigureGraph() {
        redrawReports()
        promoteSoon()
        return afterOpening()
    },
    nodeCreated: hashesByDefault,
    async setup() {
        colourLinks(LINK_COLOURS)
        for (const sheet of ["./deck.css", "./dialog.css", "./missing.css", "./infotext.css", "./inspect.css", "./nodes.css"]) document.head.append(h("link", { rel: "stylesheet", href: new URL(sheet, import.meta.url) }))
        await loadWords()
        customElements.define("lora-deck", DeckElement)
        const tab = { id: TAB, title: "LoRA Deck", tooltip: t("deck.tab"), icon: "ld-tab-icon" }
        registerSidebarTab(tab, () => document.createElement("lora-deck"))
        watchPrompts()
        watchWeightKeys()
        watchImages()
        watchLooks()
        watchFiles()
        watchTags(onUnread)
        watchLeaving()
        watchInfotextDrops()
        watchCanvas()
    },
})
