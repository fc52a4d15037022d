/** Both sides of an edit that met another one: field by field, one of the two is kept. */

import { h, icon } from "./dom.mjs?v=0.1.0"
import { count, t, time } from "./words.mjs?v=0.1.0"

/** @param {any} value @returns {string} */
const shown = value => (Array.isArray(value) ? value.join(", ") : String(value)) || t("dialog.conflict.empty")

/** The part of `text` that `other` has not, marked. @param {string} text @param {string} other */
function marked(text, other) {
    let start = 0
    while (start < text.length && start < other.length && text[start] === other[start]) start++
    let end = 0
    while (end < text.length - start && end < other.length - start && text.at(-1 - end) === other.at(-1 - end)) end++
    const until = text.length - end
    return [text.slice(0, start), start < until && h("mark", null, text.slice(start, until)), text.slice(until)]
}

export class Conflict {
    /**
     * @param {import("./dialog.mjs").Dialog} dialog
     * @param {string[]} keys fields that differ
     * @param {{yours: Record<string, any>, theirs: Record<string, any>, saved_at: number|null}} body
     */
    constructor(dialog, keys, { yours, theirs, saved_at }) {
        this.dialog = dialog
        this.keys = keys
        this.yours = yours
        this.theirs = theirs
        /** @type {Map<string, "yours"|"theirs">} */ this.picked = new Map(keys.map(key => [key, "yours"]))
        const when = saved_at ? time(saved_at) : ""
        const name = dialog.card.sidecar.name
        this.body = h("tbody")
        const others = Object.keys(dialog.card.fields).length - keys.length
        this.element = h("div.ld-part", null,
            h("div.ld-note.ld-note--in", { role: "alert" }, icon("warn"), h("div.ld-grow", null, h("b", null, t("dialog.conflict.title")),
                when ? t("dialog.conflict.why", { name, when }) : t("dialog.conflict.gone", { name }))),
            h("table.ld-diff", null, h("thead", null, h("tr", null, [t("dialog.conflict.field"), t("dialog.conflict.yours"), when ? t("dialog.conflict.theirs", { when }) : t("dialog.conflict.disk")]
                .map(text => h("th", { scope: "col" }, text)))), this.body),
            others > 0 && h("p.ld-hint", null, count("dialog.conflict.others", others)))
        this.draw()
    }

    draw() {
        const held = this.body.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : null
        this.body.replaceChildren(...this.keys.map(key => {
            const field = t(`fields.${key}`)
            const side = (/** @type {"yours"|"theirs"} */ which) => {
                const on = this.picked.get(key) === which
                const [own, other] = which === "yours" ? [this.yours[key], this.theirs[key]] : [this.theirs[key], this.yours[key]]
                return h("td", null, h("button.ld-pick", {
                    type: "button", role: "radio", "aria-checked": String(on), "data-key": `${key}-${which}`,
                    "aria-label": t(which === "yours" ? "dialog.conflict.keep_yours" : "dialog.conflict.keep_theirs", { field }),
                    onClick: () => this.pick(key, which),
                    onKeydown: (/** @type {KeyboardEvent} */ event) => {
                        const to = /** @type {Record<string, "yours"|"theirs">} */ ({ ArrowLeft: "yours", ArrowRight: "theirs" })[event.key]
                        if (!to) return
                        event.preventDefault()
                        this.pick(key, to)
                        const button = /** @type {HTMLElement|null} */ (this.body.querySelector(`[data-key="${key}-${to}"]`))
                        button?.focus()
                    },
                }, h("i"), h("span", null, marked(shown(own), shown(other)))))
            }
            return h("tr", null, h("th", { scope: "row" }, field), side("yours"), side("theirs"))
        }))
        if (held) /** @type {HTMLElement|null} */ (this.body.querySelector(`[data-key="${held}"]`))?.focus()
    }

    /** @param {string} key @param {"yours"|"theirs"} which */
    pick(key, which) {
        this.picked.set(key, which)
        this.draw()
        this.dialog.drawState()
    }

    focus() {
        this.body.querySelector("button")?.focus()
    }

    /** @returns {string} how many were chosen of each side */
    summary() {
        const theirs = [...this.picked.values()].filter(which => which === "theirs").length
        return t("dialog.conflict.summary", { theirs, yours: this.picked.size - theirs })
    }

    /** @returns {Record<string, any>} what was chosen */
    chosen() {
        return Object.fromEntries(this.keys.map(key => [key, (this.picked.get(key) === "yours" ? this.yours : this.theirs)[key]]))
    }
}
