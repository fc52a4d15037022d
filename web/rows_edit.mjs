/** The boxes in which a row's further values are set: block weights, rank, weights of the hires pass; and tags as text. */

import { titleOf } from "./card.mjs?v=0.1.0"
import { h } from "./dom.mjs?v=0.1.0"
import { parsePrompt } from "./grammar.mjs?v=0.1.0"
import { openPop } from "./pop.mjs?v=0.1.0"
import { numberIn } from "./weight_field.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/** @typedef {import("./rows_value.mjs").Row} Row @typedef {(patch: Partial<Row>) => void} Change */

/**
 * @param {string} title
 * @param {HTMLElement} at
 * @param {{label: string, input: HTMLInputElement|HTMLTextAreaElement, check: () => boolean}[]} fields
 * @param {() => void} save
 * @param {(() => void)|null} [clear]
 */
function form(title, at, fields, save, clear) {
    const done = () => {
        const wrong = fields.find(field => !field.check())
        for (const { input, check } of fields) input.setAttribute("aria-invalid", String(!check()))
        if (wrong) return wrong.input.focus()
        box.close()
        save()
    }
    const box = openPop(title, at, "ld-popup ld-form2", [
        h("h3", null, title),
        ...fields.flatMap(({ label, input }) => {
            input.setAttribute("aria-label", label)
            input.addEventListener("keydown", event => {
                const key = /** @type {KeyboardEvent} */ (event)
                if (key.key !== "Enter" || (input instanceof HTMLTextAreaElement && !key.ctrlKey)) return
                event.preventDefault()
                done()
            })
            return input instanceof HTMLTextAreaElement ? [input] : [h("span", null, label), input]
        }),
        h("div.ld-form2__go", null,
            clear && h("button.ld-b.ld-b--28.ld-b--quiet", { type: "button", onClick: () => {
                box.close()
                clear()
            } }, t("rows.clear")),
            h("button.ld-b.ld-b--28.ld-b--go", { type: "button", onClick: done }, t("rows.set"))),
    ])
}

/** @param {string} label @param {number|null|undefined} value @param {(value: number|null) => boolean} fits */
function numberField(label, value, fits) {
    const input = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", value: value ?? "" })
    return { label, input, check: () => !input.value.trim() || (numberIn(input.value) !== null && fits(numberIn(input.value))) }
}

/** @param {Row} row @param {HTMLElement} at @param {Change} change */
export function editRank(row, at, change) {
    const field = numberField(t("rows.rank_label"), row.dyn, value => Number.isInteger(value))
    form(t("rows.rank_of", { name: titleOf(row.name) }), at, [field],
        () => change({ dyn: numberIn(field.input.value) }), row.dyn == null ? null : () => change({ dyn: null }))
}

/** @param {Row} row @param {HTMLElement} at @param {Change} change */
export function editHires(row, at, change) {
    const te = numberField("te", row.hr_te, () => true)
    const unet = numberField("unet", row.hr_unet, () => true)
    form(t("rows.hires_of", { name: titleOf(row.name) }), at, [te, unet],
        () => change({ hr_te: numberIn(te.input.value), hr_unet: numberIn(unet.input.value) }),
        row.hr_te == null && row.hr_unet == null ? null : () => change({ hr_te: null, hr_unet: null }))
}

/** @param {Row} row @param {HTMLElement} at @param {Change} change */
export function editBlocks(row, at, change) {
    const input = h("textarea", { spellcheck: false }, row.lbw ?? "")
    form(t("rows.blocks_of", { name: titleOf(row.name) }), at, [{ label: t("bars.text"), input, check: () => true }],
        () => change({ lbw: input.value.trim() || null }), row.lbw ? () => change({ lbw: null }) : null)
}

/** @param {HTMLElement} at @param {(text: string) => void} add */
export function editTags(at, add) {
    const input = h("textarea", { spellcheck: false, placeholder: "<lora:ink_wash:0.8> <lora:film_grain:0.4:0.6>" })
    form(t("rows.from_tags"), at, [{ label: t("rows.from_tags"), input, check: () => parsePrompt(input.value).entries.length > 0 }], () => add(input.value))
}

/** @param {string} title @param {HTMLElement} at @param {(name: string) => void} take */
export function askName(title, at, take) {
    const input = h("input", { type: "text", autocomplete: "off" })
    form(title, at, [{ label: t("bars.name"), input, check: () => input.value.trim() !== "" }], () => take(input.value.trim()))
}
