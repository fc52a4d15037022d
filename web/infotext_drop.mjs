/** A picture of A1111's, dropped: onto a parser it fills that node; onto the canvas it asks how to open it, or goes by the setting. */

import { chooseHow } from "./infotext_choice.mjs?v=0.1.0"
import { SAVE, buildGraph, comboValues, fillParser } from "./infotext_graph.mjs?v=0.1.0"
import { setWidget, toast } from "./host.mjs?v=0.1.0"
import { watchPictureDrops } from "./host_drop.mjs?v=0.1.0"
import { LibraryError, readInfotext } from "./library.mjs?v=0.1.0"
import { lookAgain } from "./locks.mjs?v=0.1.0"
import { PARSER } from "./connect.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./host_drop.mjs").DroppedPicture} DroppedPicture */

/** Begins to watch. Called once. */
export function watchInfotextDrops() {
    const wants = (/** @type {any} */ node) => (node ? node.type === PARSER : chosen("A1111Picture") !== "comfy")
    watchPictureDrops(wants, picture => void take(picture))
}

/** The setting is the default of new savers; what a workflow brings along is set after this. @param {any} node */
export function hashesByDefault(node) {
    if (node.comfyClass === SAVE && !chosen("LoraHashes")) setWidget(node, "lora_hashes", false)
}

/** @param {DroppedPicture} picture */
async function take(picture) {
    let read
    try {
        read = await readInfotext(picture.file, comboValues())
    } catch (error) {
        if (!(error instanceof LibraryError)) throw error
        toast("warn", t("infotext.unread"), error.message)
        return picture.handOn()
    }
    if (picture.node) return fill(picture, read)
    if (read.program) toast("info", t("infotext.title"), read.note)
    if (read.workflow || read.program || (!read.prompt && !Object.keys(read.fields).length)) return picture.handOn()
    const answer = chosen("A1111Picture") === "deck" ? "deck" : await chooseHow(picture.file, read, picture.pointer)
    if (answer === "comfy") picture.handOn()
    else if (answer === "deck") {
        tell(buildGraph(read, picture.place))
        if (read.loras.some(lora => lora.found === "missing")) await lookAgain()
    }
}

/** @param {DroppedPicture} picture @param {import("./library.mjs").ReadPicture} read */
function fill({ node }, read) {
    if (read.program || !read.prompt) return toast("warn", t("infotext.unread"), read.note || t("infotext.no_prompt"))
    fillParser(node, read)
    const missing = read.loras.filter(lora => lora.found === "missing").map(lora => lora.name ?? lora.model ?? "?")
    tell(missing.length ? [count("infotext.missing_loras", missing.length, { names: missing.join(", ") })] : [])
}

/** @param {string[]} lines what the user has to see to */
function tell(lines) {
    if (lines.length) toast("warn", t("infotext.look"), lines.join("\n"))
}
