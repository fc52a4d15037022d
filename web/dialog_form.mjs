/** The fields of a card, one control each. */

import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { markdown } from "./host_dialog.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { Tokens } from "./tokens.mjs?v=0.1.0"
import { partsOf, toggled } from "./trained.mjs?v=0.1.0"
import { number, t } from "./words.mjs?v=0.1.0"

export const VERSIONS = ["SD1", "SD2", "SDXL", "Unknown"]
const SHOWN_TAGS = 24
const MOST = 2
const AREAS = { activation_text: 2, negative_text: 1, description: 5, notes: 2 }

/** @param {string} id @param {string} text @param {...any} more */
export const labelled = (id, text, ...more) => h("div.ld-lab", null, h("label", { for: id }, text), ...more)

/** @param {string} text @returns {number|null} a weight as people write it */
export function weightOf(text) {
    const value = Number(text.trim().replace(",", "."))
    return text.trim() === "" ? 0 : Number.isFinite(value) ? value : null
}

/** A chip of a training tag. @param {string} tag @param {number} many @param {boolean} on @param {() => void} run */
export const tagChip = (tag, many, on, run) => h("button.ld-chip.ld-chip--24", { type: "button", "aria-pressed": String(on), "data-tag": tag, onClick: run },
    h("span.ld-trunc", null, tag), h("span.ld-chip__n", null, number(many)))

export class Form {
    /** @param {import("./dialog.mjs").Dialog} dialog */
    constructor(dialog) {
        this.dialog = dialog
        /** What keeps the fields from being saved. */
        this.wrong = ""
        this.preview = false
        /** @type {[string, number][]|undefined} the training tags that are shown */ this.pooled = undefined
        /** @type {Record<string, any>} */ this.areas = {}
        for (const [key, rows] of Object.entries(AREAS)) {
            this.areas[key] = h("textarea.ld-area", { id: `ld-f-${key}`, rows, onInput: (/** @type {any} */ e) => dialog.typed(key, e.target.value) })
        }
        this.pool = h("div.ld-pool", { role: "group", "aria-label": t("dialog.training_tags") })
        this.weight = h("input.ld-num", { id: "ld-f-preferred_weight", type: "text", inputmode: "decimal", autocomplete: "off", onInput: () => this.weighed(this.weight.value, false) })
        this.slider = h("input.ld-range", { type: "range", min: 0, max: MOST, step: 0.05, "aria-label": t("dialog.slider"), onInput: () => this.weighed(this.slider.value, true) })
        this.version = h("select.ld-select", { id: "ld-f-sd_version", onChange: () => dialog.typed("sd_version", this.version.value) })
        this.alias = h("input", { id: "ld-f-alias", type: "text", autocomplete: "off", spellcheck: false, onInput: () => dialog.typed("alias", this.alias.value) })
        this.tags = new Tokens("ld-f-tags", tags => dialog.typed("tags", tags))
        this.shownText = h("div.ld-md", { tabindex: 0 })
        this.detected = h("span.ld-hint")
        this.default = h("span.ld-hint")
        /** @type {Record<string, HTMLElement>} */ this.hints = {}
        /** @type {HTMLElement} */ this.dice
        const hint = (/** @type {string} */ key) => (this.hints[key] = h("span.ld-hint"))
        const view = (/** @type {boolean} */ preview) => h("button", { type: "button", "aria-pressed": "false", "data-preview": String(preview), onClick: () => this.drawDescription(preview) }, t(preview ? "dialog.preview" : "dialog.write"))
        this.views = h("span.ld-seg", { role: "group", "aria-label": t("dialog.view") }, view(false), view(true))
        const row = (/** @type {string} */ key, /** @type {any} */ control, /** @type {any[]} */ ...more) => h("div", null, labelled(`ld-f-${key}`, t(`fields.${key}`), hint(key), ...more), control)
        this.element = h("div.ld-part", null,
            h("div", null, labelled("ld-f-activation_text", t("fields.activation_text"), hint("activation_text"),
                this.dice = h("button.ld-b.ld-b--28.ld-b--quiet", { type: "button", onClick: () => dialog.training.surprise() }, icon("dice"), t("dialog.random"))),
            this.areas.activation_text, this.pool),
            h("div.ld-2", null,
                h("div", null, labelled("ld-f-preferred_weight", t("fields.preferred_weight"), this.default),
                    h("div.ld-weight", null, h("div", null, this.slider, h("div.ld-ticks", { "aria-hidden": true }, ["0", "0.5", "1", "1.5", "2"].map(at => h("span", null, at)))), h("div.ld-field", null, this.weight))),
                h("div", null, labelled("ld-f-sd_version", t("fields.sd_version"), this.detected), h("div.ld-selectbox", null, this.version, icon("down", "ld-i--12")))),
            row("negative_text", this.areas.negative_text),
            row("tags", this.tags.element),
            row("alias", h("div.ld-field", null, this.alias)),
            h("div", null, labelled("ld-f-description", t("fields.description"), hint("description"), this.views), this.areas.description, this.shownText),
            row("notes", this.areas.notes))
    }

    /** Writes the draft into the controls. */
    fill() {
        const { draft, card } = this.dialog
        for (const key of Object.keys(AREAS)) if (this.areas[key].value !== draft.now[key]) this.areas[key].value = draft.now[key]
        this.wrong = ""
        this.weight.removeAttribute("aria-invalid")
        this.weight.value = String(draft.now.preferred_weight)
        this.drawSlider()
        const versions = [...new Set(["", ...VERSIONS, draft.now.sd_version])]
        this.version.replaceChildren(...versions.map(value => h("option", { value }, value || t("dialog.none"))))
        this.version.value = draft.now.sd_version
        this.alias.value = draft.now.alias
        this.tags.set(draft.now.tags)
        this.default.textContent = t("dialog.weight_hint", { weight: Number(chosen("DefaultWeight")) || 1 })
        this.detected.textContent = card.architecture ? t("dialog.detected", { name: card.architecture }) : ""
        for (const [key, element] of Object.entries(this.hints)) {
            const found = !card.sidecar.saved.includes(key) && String(card.fields[key] ?? "") !== ""
            element.textContent = found ? t("dialog.found") : key === "description" ? t("dialog.markdown") : key === "notes" ? t("dialog.only_you") : ""
        }
        this.drawDescription(this.preview)
        this.drawPool()
    }

    focus() {
        this.areas.activation_text.focus()
    }

    /** @param {string} text @param {boolean} slid */
    weighed(text, slid) {
        const value = weightOf(text)
        this.wrong = value === null ? t("dialog.no_number", { field: t("fields.preferred_weight") }) : ""
        this.weight.toggleAttribute("aria-invalid", value === null)
        if (slid) this.weight.value = String(value)
        if (value === null) return this.dialog.drawState()
        this.dialog.typed("preferred_weight", value)
        this.drawSlider()
    }

    drawSlider() {
        const value = Math.min(MOST, Math.max(0, this.dialog.draft.now.preferred_weight))
        this.slider.value = String(value)
        this.slider.style.setProperty("--v", `${(value / MOST) * 100}%`)
    }

    /** @param {boolean} preview */
    drawDescription(preview) {
        this.preview = preview
        for (const button of this.views.children) button.setAttribute("aria-pressed", String(button.dataset.preview === String(preview)))
        this.areas.description.hidden = preview
        this.shownText.hidden = !preview
        if (!preview) return
        const text = this.dialog.draft.now.description
        this.shownText.replaceChildren(...(text ? markdown(text) : [t("dialog.no_description")]))
    }

    drawPool() {
        const { card, draft } = this.dialog
        const tags = card.training_tags
        const on = partsOf(draft.now.activation_text)
        if (tags === this.pooled) {
            for (const chip of this.pool.querySelectorAll("[data-tag]")) chip.setAttribute("aria-pressed", String(on.has(chip.dataset.tag)))
            return
        }
        this.pooled = tags
        const held = this.pool.contains(document.activeElement) ? document.activeElement?.getAttribute("data-tag") : null
        const shown = tags.slice(0, SHOWN_TAGS)
        const rest = tags.length - shown.length
        this.pool.hidden = this.dice.hidden = !tags.length
        this.pool.replaceChildren(...shown.map(([tag, many]) => tagChip(tag, many, on.has(tag), () => this.toggle(tag))),
            ...(rest > 0 ? [h("button.ld-chip.ld-chip--24", { type: "button", onClick: () => this.dialog.show("training") }, t("dialog.more_tags", { count: rest }))] : []))
        if (held) /** @type {HTMLElement|null} */ (this.pool.querySelector(`[data-tag="${CSS.escape(held)}"]`))?.focus()
    }

    /** @param {string} tag */
    toggle(tag) {
        const area = this.areas.activation_text
        area.value = toggled(area.value, tag)
        this.dialog.typed("activation_text", area.value)
    }

    /** Sets or takes away the tag that stands for adult pictures. @param {boolean} adult */
    setAdult(adult) {
        const others = this.dialog.draft.now.tags.filter((/** @type {string} */ tag) => tag.toLowerCase() !== "nsfw")
        const tags = adult ? [...others, "nsfw"] : others
        this.tags.set(tags)
        this.dialog.typed("tags", tags)
    }
}
