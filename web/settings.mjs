/** The deck's settings in the host's settings dialog. Their names are translated by `locales/<language>/settings.json`. */

import { setting } from "./host.mjs?v=0.1.0"

/** @type {Record<string, any>} */
const DEFAULTS = {
    "LoRADeck.DefaultWeight": 1,
    "LoRADeck.ActivationText": true,
    "LoRADeck.Separator": " ",
    "LoRADeck.NameInserted": "file",
    "LoRADeck.Connect": "ask",
    "LoRADeck.AltClick": "new",
    "LoRADeck.CardSize": "medium",
    "LoRADeck.FoldersFirst": false,
    "LoRADeck.BlurAdult": true,
    "LoRADeck.FlyoutDelay": 500,
    "LoRADeck.FitsCheckpoint": "on",
    "LoRADeck.A1111Picture": "ask",
    "LoRADeck.LoraHashes": true,
    "LoRADeck.Logging": "normal",
    "LoRADeck.HashAtQueue": true,
    "LoRADeck.OtherContent": "warn",
}

/** @param {string} id @param {string} name @param {object} more */
const row = (id, name, more) => ({ id: `LoRADeck.${id}`, name, defaultValue: DEFAULTS[`LoRADeck.${id}`], category: ["LoRADeck", "Sidebar", id], ...more })

/** @param {...[string, string]} pairs */
const choices = (...pairs) => pairs.map(([value, text]) => ({ value, text }))

/** What the host is told; `onChange` is called with every change. @param {(id: string) => void} onChange */
export const settings = onChange =>
    [
        row("HashAtQueue", "Hash LoRAs before a workflow leaves", { type: "boolean", category: ["LoRADeck", "Sharing", "HashAtQueue"] }),
        row("OtherContent", "Other content than the workflow's", { type: "combo", options: choices(["warn", "warn"], ["error", "error"]), category: ["LoRADeck", "Sharing", "OtherContent"] }),
        row("Logging", "Logging", { type: "combo", options: choices(["normal", "normal"], ["detailed", "detailed"]), category: ["LoRADeck", "Server", "Logging"] }),
        row("LoraHashes", "Add Lora hashes to infotext", { type: "boolean", category: ["LoRADeck", "Infotext", "LoraHashes"] }),
        row("A1111Picture", "A1111 picture dropped", { type: "combo", options: choices(["ask", "ask"], ["deck", "LoRA Deck"], ["comfy", "ComfyUI"]), category: ["LoRADeck", "Infotext", "A1111Picture"] }),
        row("FlyoutDelay", "Hover flyout delay in ms, -1 for never", { type: "number", attrs: { min: -1, max: 2000, step: 100 } }),
        row("FitsCheckpoint", "Show only what fits the checkpoint", { type: "combo", options: choices(["on", "on if known"], ["off", "off"], ["left", "as left"]) }),
        row("BlurAdult", "Blur adult previews", { type: "boolean" }),
        row("FoldersFirst", "Show folders first", { type: "boolean" }),
        row("CardSize", "Card size", { type: "combo", options: choices(["list", "list"], ["small", "small"], ["medium", "medium"], ["large", "large"]) }),
        row("AltClick", "Alt-click", { type: "combo", options: choices(["new", "new LoRA stack"], ["last", "row in the last one"], ["tag", "tag only"]) }),
        row("Connect", "A prompt that is not connected", { type: "combo", options: choices(["ask", "ask"], ["connect", "connect it"], ["insert", "insert only"]) }),
        row("NameInserted", "Name inserted", { type: "combo", options: choices(["file", "file name"], ["alias", "alias"]) }),
        row("Separator", "Separator before a tag", { type: "text" }),
        row("ActivationText", "Click inserts activation text", { type: "boolean" }),
        row("DefaultWeight", "Default weight, where the card has none", { type: "number", attrs: { min: -10, max: 10, step: 0.05 } }),
    ].map(each => ({ ...each, onChange: () => onChange(each.id) }))

/** @param {string} id without the pack's prefix */
export const chosen = id => setting(`LoRADeck.${id}`) ?? DEFAULTS[`LoRADeck.${id}`]
