/** Ctrl+Up and Ctrl+Down inside a tag step its weight, as the host does for parentheses. */

import { setting, widgetOf } from "./host.mjs?v=0.1.0"
import { reweighted, tagAt } from "./tags.mjs?v=0.1.0"

/** Begins to listen. Called once. */
export function watchWeightKeys() {
    window.addEventListener("keydown", event => {
        const area = event.target
        if (!(event.ctrlKey || event.metaKey) || !["ArrowUp", "ArrowDown"].includes(event.key)) return
        if (!(area instanceof HTMLTextAreaElement) || area.readOnly || !widgetOf(area)) return
        const tag = tagAt(area.value, area.selectionStart)
        if (!tag || area.selectionEnd > tag.end) return
        const step = Number(setting("Comfy.EditAttention.Delta")) || 0.05
        const edit = reweighted(area.value, tag, weight => weight + (event.key === "ArrowUp" ? step : -step))
        event.preventDefault()
        event.stopImmediatePropagation()
        if (!edit) return
        const caret = Math.min(area.selectionStart, edit.start + edit.text.length - 1)
        area.setSelectionRange(edit.start, edit.end)
        document.execCommand("insertText", false, edit.text)
        area.setSelectionRange(caret, caret)
    }, true)
}
