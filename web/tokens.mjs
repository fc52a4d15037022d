/** A field of short texts: each stands as a token, Enter or a comma ends one, Backspace takes the last one away. */

import { h, iconButton } from "./dom.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

export class Tokens {
    /** @param {string} id of the input @param {(tokens: string[]) => void} onChange */
    constructor(id, onChange) {
        this.onChange = onChange
        /** @type {string[]} */ this.tokens = []
        this.input = h("input", { id, type: "text", placeholder: t("dialog.add_tag"), autocomplete: "off", spellcheck: false,
            onKeydown: (/** @type {KeyboardEvent} */ e) => this.key(e), onInput: () => this.input.value.includes(",") && this.add(), onBlur: () => this.add() })
        this.element = h("div.ld-field.ld-tokens", { onClick: (/** @type {Event} */ e) => e.target === this.element && this.input.focus() }, this.input)
    }

    /** @param {string[]} tokens */
    set(tokens) {
        this.tokens = [...tokens]
        const drawn = this.tokens.map(token => h("span.ld-token", null, token,
            iconButton("x", t("dialog.remove_tag", { name: token }), { class: "ld-ib--24", onClick: () => this.remove(token) })))
        this.element.replaceChildren(...drawn, this.input)
    }

    /** Takes what is typed. */
    add() {
        const words = this.input.value.split(",").map((/** @type {string} */ word) => word.trim()).filter(Boolean)
        this.input.value = ""
        const added = words.filter((/** @type {string} */ word, /** @type {number} */ at) => !this.tokens.includes(word) && words.indexOf(word) === at)
        if (!added.length) return
        const held = document.activeElement === this.input
        this.set([...this.tokens, ...added])
        if (held) this.input.focus()
        this.onChange(this.tokens)
    }

    /** @param {string} token */
    remove(token) {
        this.set(this.tokens.filter(each => each !== token))
        this.input.focus()
        this.onChange(this.tokens)
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && this.input.value.trim()) {
            event.preventDefault()
            event.stopPropagation()
            this.add()
        } else if (event.key === "Enter") this.add()
        else if (event.key === "Backspace" && !this.input.value && this.tokens.length) this.remove(this.tokens[this.tokens.length - 1])
    }
}
