/**
 * Locks: filled before a workflow leaves, and used when one arrives, so that it finds the same LoRAs under other names.
 *
 * @typedef {import("./library.mjs").NamedLora} NamedLora
 * @typedef {import("./library.mjs").Relinked} Relinked
 */

import { h } from "./dom.mjs?v=0.1.0"
import { asOneStep, onEvent, toast } from "./host.mjs?v=0.1.0"
import { beforeLeaving, executedNode, extraOfWorkflow, isRestoring, markNode, setExtra, setUnseen, workflowNow, writeValues } from "./host_workflow.mjs?v=0.1.0"
import { fillLocks, relink } from "./library.mjs?v=0.1.0"
import { openMissing } from "./missing.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { bytes, count, t } from "./words.mjs?v=0.1.0"

const APPLY = "LoraStackApply"
const HOST_LOADERS = new Set(["LoraLoader", "LoraLoaderModelOnly"])
/** What a workflow with anything to go by holds somewhere; the server looks closer. */
const SIGNS = /lora_deck_lock|"(?:hash|hashes|sha256|AutoV[123]|autov[23])\\*"|Lora hashes:|Hashes:|Civitai resources:/i

/** What the last workflow that was opened needs. @type {Relinked|null} */ let arrived = null
/** Which open questions were answered with Skip. @type {Set<string>} */ const skipped = new Set()

/** Fills locks from now on, before a workflow is queued, exported or saved. */
export function watchLeaving() {
    beforeLeaving(async made => {
        try {
            await fill(made)
        } catch (error) {
            // The server fills what it can when the prompt comes in; a workflow must leave in any case.
            console.warn("LoRA Deck: the locks were not filled.", error)
        }
    })
    onEvent("lora-deck.lock", showProgress)
}

/** @param {{workflow: any, output: Record<string, any>}} made */
async function fill(made) {
    const nodes = Object.values(made.output)
    if (!nodes.some(node => node.class_type === APPLY)) return
    const extra = extraOfWorkflow()
    const names = nodes.flatMap(({ class_type, inputs }) => (HOST_LOADERS.has(class_type) && typeof inputs.lora_name === "string" ? [inputs.lora_name] : []))
    const prompt = Object.fromEntries(Object.entries(made.output).map(([id, { class_type, inputs }]) => [id, { class_type, inputs }]))
    const answer = await fillLocks({
        prompt, names: [...new Set(names)], lock: extra.lock ?? "", hash: Boolean(chosen("HashAtQueue")), other_content: chosen("OtherContent"),
    })
    for (const [id, text] of Object.entries(answer.locks)) {
        const where = executedNode(id)
        if (made.output[id].inputs.lock === text || !where) continue
        made.output[id].inputs.lock = text
        setUnseen(where, "lock", text, made.workflow)
    }
    if (answer.lock && answer.lock !== extra.lock) setExtra({ ...extra, lock: answer.lock }, made.workflow)
}

/** @type {HTMLElement|null} */ let bar = null

/** @param {{bytes: number, total_bytes: number, files: number}} how */
function showProgress({ bytes: done, total_bytes: total, files }) {
    if (done >= total) {
        bar?.remove()
        bar = null
        return
    }
    const text = count("missing.hashing", files, { done: bytes(done), total: bytes(total) })
    const shown = bar ?? newBar()
    const share = Math.round((done / total) * 100)
    shown.setAttribute("aria-valuenow", String(share))
    shown.setAttribute("aria-valuetext", text)
    shown.style.setProperty("--v", `${share}%`)
    if (shown.firstChild) shown.firstChild.textContent = text
}

/** @returns {HTMLElement} */
function newBar() {
    const made = h("div.ld.ld-lockbar", { role: "progressbar", "aria-label": t("missing.hashing_label"), "aria-valuemin": 0, "aria-valuemax": 100 }, h("span"), h("i"))
    document.body.append(made)
    bar = made
    return made
}

/**
 * Rewrites the names of a workflow that is being opened, before its nodes are made.
 *
 * @param {any} workflow is changed in place
 */
export async function beforeOpening(workflow) {
    arrived = null
    if (isRestoring() || !SIGNS.test(JSON.stringify(workflow))) return
    try {
        arrived = await relink({ workflow })
    } catch (error) {
        console.warn("LoRA Deck: the LoRAs of this workflow were not looked for.", error)
        return
    }
    for (const change of arrived.changes) {
        const holder = change.graph ? workflow.definitions?.subgraphs?.find((/** @type {any} */ s) => s.id === change.graph) : workflow
        const node = holder?.nodes?.find((/** @type {any} */ n) => String(n.id) === change.node)
        if (node?.widgets_values) node.widgets_values[change.index] = change.value
    }
}

/** Says what was found and asks about the rest, when the nodes are there. */
export function afterOpening() {
    const result = arrived
    arrived = null
    if (!result?.locked && !result?.problems.length) return
    const renamed = result.found.length
    if (renamed) toast("success", count("missing.found_toast", renamed))
    for (const problem of result.problems) toast("warn", t("missing.bad_lock"), problem)
    mark(result)
    const open = [...result.missing, ...result.differing]
    if (open.some(lora => !skipped.has(keyOf(lora)))) ask(result)
}

/** Looks at the open workflow again and shows the panel, whatever it finds. */
export async function lookAgain() {
    const result = await relink({ workflow: workflowNow() })
    mark(result)
    if (result.missing.length || result.differing.length) ask(result)
    else toast("info", t("missing.nothing"))
}

/** @param {Relinked} result */
function ask(result) {
    openMissing(result, {
        choose: async (lora, id) => {
            const answer = await relink({ workflow: workflowNow(), choices: { [lora.name]: id } })
            asOneStep(() => writeValues(answer.changes))
            unmark(lora)
            mark(answer)
            return true
        },
        skip: lora => skipped.add(keyOf(lora)),
    })
}

/** @param {NamedLora} lora */
const keyOf = lora => `${lora.name} ${lora.autov3 ?? lora.autov2 ?? ""}`

/** @param {NamedLora} lora */
const places = lora => lora.used_by.map(({ graph, node }) => /** @type {[string, string]} */ ([graph, node]))

/** @param {Relinked} result */
function mark({ missing, differing }) {
    /** @type {Map<string, {at: [string, string], missing: number, differing: number}>} */ const nodes = new Map()
    for (const [kind, loras] of /** @type {const} */ ([["missing", missing], ["differing", differing]])) {
        for (const at of loras.flatMap(places)) {
            const key = at.join(" ")
            const known = nodes.get(key) ?? { at, missing: 0, differing: 0 }
            known[kind]++
            nodes.set(key, known)
        }
    }
    for (const { at, missing: gone, differing: other } of nodes.values())
        markNode(...at, gone ? count("missing.mark", gone) : count("missing.mark_other", other))
}

/** @param {NamedLora} lora */
function unmark(lora) {
    for (const at of places(lora)) markNode(...at, null)
}
