/**
 * The widget of `BlockWeight`: a bar for each block, dragged and painted, with the same as text below. The text is the
 * value; where it cannot be read, or the blocks are not known, it stays as it is.
 *
 * @typedef {object} Blocks of the connected model
 * @property {string[]} ids
 * @property {string} title
 * @property {Set<string>} [changed] those that the connected LoRAs have modules for, where it is known
 * @property {Record<string, number>} [strength] how strong the connected LoRAs are there, 1 for the strongest block
 */

import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { toast } from "./host.mjs?v=0.1.0"
import { LibraryError, blockNames, putPreset, readBlocks } from "./library.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { dragPointer } from "./pointer_drag.mjs?v=0.1.0"
import { groupOf, textOf } from "./bars_text.mjs?v=0.1.0"
import { askName } from "./rows_edit.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

export const BARS_HEIGHT = 240
const RANGES = /** @type {const} */ ([[0, 1], [0, 2], [-1, 2]])
/** Above so many blocks every fifth is labelled. */
const MANY = 30
/** Blocks of common models, for a node that is connected to none. @type {[string, [string, number][]][]} */
const KNOWN = [
    ["SD1", [["IN", 12], ["M", 1], ["OUT", 12]]], ["SDXL", [["IN", 9], ["M", 1], ["OUT", 9]]],
    ["Flux", [["D", 19], ["S", 38]]], ["SD3", [["L", 24]]], ["Wan", [["L", 40]]], ["Qwen", [["L", 60]]],
]

/** @param {[string, number][]} counts */
const idsOf = counts => counts.flatMap(([letters, many]) => Array.from({ length: many }, (_, n) => `${letters}${String(n).padStart(2, "0")}`))

/** `BASE` stands for every text encoder. @param {Record<string, number>} patch */
const withEncoders = patch => ("BASE" in patch ? { ...patch, CLIP: patch.BASE, T5: patch.BASE } : patch)

/** @param {number} value */
const tidy = value => Math.round(value * 100) / 100

export class Bars {
    /**
     * @param {(text: string) => void} commit one step of the undo history, which comes back by `set`
     * @param {() => Promise<Blocks|null>} find the blocks of the connected model
     */
    constructor(commit, find) {
        this.commit = commit
        this.find = find
        this.text = "ALL"
        /** @type {string[]} */ this.ids = []
        this.title = ""
        this.chosen = ""
        /** @type {Record<string, number>} */ this.values = {}
        this.fault = ""
        this.range = 0
        this.focus = 0
        this.held = false
        /** @type {Blocks["changed"]} */ this.changed = undefined
        /** @type {Blocks["strength"]} */ this.strength = undefined
        this.asked = 0
        /** What the text field was last given. */
        this.shown = this.text
        this.presets = h("select.ld-select", { "aria-label": t("bars.preset"), onChange: () => this.presets.value && this.put(this.presets.value) })
        this.eq = h("div.ld-eq")
        this.input = h("input.ld-wid__txt", { type: "text", "aria-label": t("bars.text"), spellcheck: false, autocomplete: "off" })
        this.input.addEventListener("change", () => this.put(this.input.value))
        this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Enter" && this.put(this.input.value))
        this.error = h("div.ld-wid__err", { role: "alert", hidden: true })
        this.element = h("div.ld.ld-wid", { role: "group", style: { "min-height": `${BARS_HEIGHT}px` } },
            h("div.ld-wid__top", null, h("div.ld-selectbox.ld-grow", null, this.presets, icon("down", "ld-i--12")),
                iconButton("undo", t("bars.reset"), { onClick: () => this.put("ALL") }),
                iconButton("more", t("deck.more"), { "aria-haspopup": "menu", onClick: (/** @type {Event} */ e) => void this.menu(/** @type {HTMLElement} */ (e.currentTarget)) })),
            this.eq, this.input, this.error)
        this.eq.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.paint(event))
        this.eq.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event))
        this.eq.addEventListener("dblclick", (/** @type {MouseEvent} */ event) => {
            const bar = this.barAt(event.clientX)
            if (bar) this.change({ [bar]: 1 })
        })
        void this.look()
    }

    /** @param {any} text */
    set(text) {
        this.text = String(text ?? "")
        void this.look()
    }

    /** @param {string} text */
    put(text) {
        if (text.trim() !== this.text.trim()) this.commit(text.trim())
    }

    /** Looks again what model is connected and what the text means for it. */
    async look() {
        const mine = ++this.asked
        // What somebody is typing stays, whatever else changes meanwhile.
        if (document.activeElement !== this.input || this.input.value === this.shown) this.input.value = this.text
        this.shown = this.text
        /** @type {Blocks|null} */
        const found = this.chosen ? { ids: idsOf(KNOWN.find(([name]) => name === this.chosen)?.[1] ?? []), title: this.chosen } : await this.find()
        if (mine !== this.asked) return
        const changed = found?.ids.join() !== this.ids.join()
        this.ids = found?.ids ?? []
        this.title = found?.title ?? ""
        this.changed = found?.changed
        this.strength = found?.strength
        this.fault = ""
        if (this.ids.length && this.text.trim()) {
            try {
                const { blocks } = await readBlocks(this.text, this.ids)
                if (mine !== this.asked) return
                this.values = blocks
            } catch (error) {
                if (!(error instanceof LibraryError)) throw error
                if (mine !== this.asked) return
                this.fault = error.message
            }
        }
        if (changed || this.ids.some(id => this.values[id] === undefined)) for (const id of ["BASE", ...this.ids]) this.values[id] ??= 1
        const every = Object.values(this.values)
        this.range = Math.max(this.range, every.some(value => value < 0) ? 2 : every.some(value => value > 1) ? 1 : 0)
        this.draw()
        void this.drawPresets()
    }

    async drawPresets() {
        const all = this.ids.length ? await blockNames(this.ids).catch(() => null) : null
        const names = all ? [...all.built_in, ...all.own] : []
        const current = names.find(name => name.toLowerCase() === this.text.trim().toLowerCase()) ?? ""
        this.presets.replaceChildren(h("option", { value: "" }, current ? t("bars.preset") : t("bars.custom")),
            ...names.map(name => h("option", { value: name, selected: name === current }, name)))
    }

    draw() {
        if (this.held) return
        const { ids, values } = this
        this.element.setAttribute("aria-label", ids.length ? t("bars.label", { model: this.title, blocks: ids.length }) : t("bars.unknown"))
        this.error.hidden = !this.fault
        this.error.replaceChildren(icon("bad", "ld-i--12"), this.fault)
        if (!ids.length) {
            this.eq.replaceChildren(h("div", null, h("p.ld-hint", null, t("bars.unknown")),
                h("select.ld-select", { "aria-label": t("bars.model"), onChange: (/** @type {Event} */ e) => {
                    this.chosen = /** @type {HTMLSelectElement} */ (e.target).value
                    void this.look()
                } }, h("option", { value: "" }, t("bars.model")), KNOWN.map(([name]) => h("option", { value: name }, name)))))
            return
        }
        const held = this.eq.contains(document.activeElement)
        const shown = ["BASE", ...ids]
        const [low, high] = RANGES[this.range]
        const groups = []
        for (const [index, id] of shown.entries()) {
            if (!index || groupOf(shown[index - 1]) !== groupOf(id)) groups.push(/** @type {string[]} */ ([]))
            groups.at(-1)?.push(id)
        }
        const { changed, strength } = this
        this.eq.classList.toggle("is-plain", !strength)
        this.eq.replaceChildren(...groups.map(group => h("div.ld-eq__g", { style: { "--n": group.length, "--gap": ids.length > MANY ? "1px" : "2px" } },
            h("span.ld-eq__h", null, t(`inspect.groups.${groupOf(group[0])}`)),
            group.map((id, k) => h("div", {
                role: "slider", "aria-label": id, class: changed && !changed.has(id) ? "is-none" : "", "aria-description": changed && !changed.has(id) ? t("bars.none") : null, "aria-orientation": "vertical", "aria-valuemin": low, "aria-valuemax": high, "aria-valuenow": values[id],
                tabindex: shown.indexOf(id) === this.focus ? 0 : -1, "data-id": id, title: [`${id} ${values[id]}`, changed && !changed.has(id) && t("bars.none"), strength?.[id] && t("bars.strength", { share: Math.round(strength[id] * 100) })].filter(Boolean).join("\n"),
                style: { "--v": `${Math.max(0, Math.min(100, ((values[id] - low) / (high - low)) * 100))}%`, "--e": strength?.[id] ?? 0 },
            }, h("div.ld-eq__t", null, h("i")), h("div.ld-eq__s"),
            h("div.ld-eq__l", null, id === "BASE" ? "BASE" : ids.length > MANY && k % 5 ? "" : id.slice(-2)))))))
        if (held) /** @type {HTMLElement|null} */ (this.eq.querySelector("[tabindex='0']"))?.focus({ preventScroll: true })
    }

    // ── hands ───────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {Record<string, number>} patch */
    change(patch) {
        if (this.fault) return
        this.values = { ...this.values, ...withEncoders(patch) }
        this.put(textOf(this.ids, this.values))
    }

    /** @param {number} x in the window @returns {string} id of the bar there */
    barAt(x) {
        const bars = [...this.eq.querySelectorAll("[role=slider]")]
        const found = bars.find(bar => x <= bar.getBoundingClientRect().right) ?? bars.at(-1)
        return found?.getAttribute("data-id") ?? ""
    }

    /** @param {PointerEvent} event */
    paint(event) {
        if (event.button !== 0 || !this.ids.length || this.fault) return
        const track = this.eq.querySelector(".ld-eq__t")
        if (!track || !(event.target instanceof Element) || !event.target.closest("[role=slider]")) return
        event.preventDefault()
        const { top, height } = track.getBoundingClientRect()
        const [low, high] = RANGES[this.range]
        const before = this.values
        const from = this.barAt(event.clientX)
        let last = from
        const shown = ["BASE", ...this.ids]
        const tip = h("div.ld-eq__tip")
        const at = (/** @type {PointerEvent} */ e) => {
            const now = this.barAt(e.clientX)
            const raw = high - ((e.clientY - top) / height) * (high - low)
            const fine = e.shiftKey ? before[from] + (raw - (high - ((event.clientY - top) / height) * (high - low))) * 0.1 : raw
            const value = Math.max(low, Math.min(high, tidy(fine)))
            const [a, b] = [shown.indexOf(last), shown.indexOf(now)].sort((x, y) => x - y)
            const painted = e.altKey ? shown.filter(id => groupOf(id) === groupOf(now)) : shown.slice(a, b + 1)
            this.values = { ...this.values, ...withEncoders(Object.fromEntries(painted.map(id => [id, value]))) }
            last = now
            for (const id of painted) {
                const bar = /** @type {HTMLElement|null} */ (this.eq.querySelector(`[data-id="${id}"]`))
                bar?.style.setProperty("--v", `${((value - low) / (high - low)) * 100}%`)
                bar?.setAttribute("aria-valuenow", String(value))
                if (id === now) bar?.append(tip)
            }
            tip.textContent = `${now} ${value}`
            this.input.value = textOf(this.ids, this.values)
        }
        this.held = true
        at(event)
        dragPointer(event, this.eq, at, kept => {
            tip.remove()
            this.held = false
            this.focus = shown.indexOf(last)
            if (!kept) this.values = before
            if (kept) this.put(textOf(this.ids, this.values))
            else this.input.value = this.text
            this.draw()
            const bar = this.eq.querySelector("[tabindex='0']")
            if (bar instanceof HTMLElement) bar.focus({ preventScroll: true })
        })
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const shown = ["BASE", ...this.ids]
        if (!(event.target instanceof Element) || !event.target.closest("[role=slider]")) return
        const id = shown[this.focus]
        const step = event.shiftKey ? 0.01 : 0.05
        const [low, high] = RANGES[this.range]
        const to = { ArrowUp: this.values[id] + step, ArrowDown: this.values[id] - step, PageUp: this.values[id] + 0.25, PageDown: this.values[id] - 0.25, Home: 0, End: 1 }[event.key]
        if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
            this.focus = Math.max(0, Math.min(shown.length - 1, this.focus + (event.key === "ArrowRight" ? 1 : -1)))
            this.draw()
        } else if (to !== undefined) this.change({ [id]: Math.max(low, Math.min(high, tidy(to))) })
        else return
        event.preventDefault()
    }

    // ── menu ────────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {HTMLElement} at */
    async menu(at) {
        const own = this.ids.length ? (await blockNames(this.ids).catch(() => ({ own: [] }))).own : []
        const said = async (/** @type {Promise<any>} */ asked) => {
            try {
                await asked
                void this.drawPresets()
            } catch (error) {
                if (!(error instanceof LibraryError)) throw error
                toast("error", t("notice.failed"), error.message)
            }
        }
        openMenu(t("bars.preset"), [
            { text: t("bars.save"), icon: "plus", run: () => askName(t("bars.save"), at, name => void said(putPreset(name, this.text))) },
            ...own.map((/** @type {string} */ name) => ({ text: t("bars.delete", { name }), icon: /** @type {const} */ ("trash"), run: () => void said(putPreset(name)) })),
            null,
            ...RANGES.map(([low, high], i) => ({ text: t("bars.range", { low: String(low), high: String(high) }), icon: /** @type {const} */ (""), kind: /** @type {const} */ ("radio"), on: i === this.range, run: () => {
                this.range = i
                this.draw()
            } })),
        ], at)
    }
}
