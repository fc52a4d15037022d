/** Which cards stand in the prompt, at which weight, and which the graph names. */

import { allFields } from "./flow.mjs?v=0.1.0"
import { parsePrompt } from "./grammar.mjs?v=0.1.0"
import { allGraphs, nodesOf } from "./host.mjs?v=0.1.0"
import { cardNamed } from "./meanings.mjs?v=0.1.0"
import { weightLabel } from "./tags.mjs?v=0.1.0"
import { target } from "./target.mjs?v=0.1.0"

/** @returns {string} the text of the prompt that is meant */
export const targetText = () => {
    const { field } = target()
    return field ? String(field.widget.value) : ""
}

/** @param {string} text @returns {Promise<Map<number, string>>} card id → weight in this text, several joined by + */
export async function marksOf(text) {
    /** @type {Map<number, string>} */ const marks = new Map()
    const entries = parsePrompt(text).entries
    const cards = await Promise.all(entries.map(entry => cardNamed(entry.name)))
    entries.forEach((entry, i) => {
        const id = cards[i]?.id
        if (id === undefined) return
        const before = marks.get(id)
        marks.set(id, before ? `${before}+${weightLabel(entry)}` : weightLabel(entry))
    })
    return marks
}

/** @returns {string[]} every name of a LoRA in the workflow: in tags, and in widgets that choose one */
function namesInGraph() {
    const names = new Set()
    for (const graph of allGraphs()) {
        for (const { widget } of allFields(graph)) for (const entry of parsePrompt(String(widget.value)).entries) names.add(entry.name)
        for (const node of nodesOf(graph))
            for (const widget of node.widgets ?? []) {
                if (node.type === "LoraStackRows" && Array.isArray(widget.value?.rows)) for (const row of widget.value.rows) names.add(row.name)
                if (/^lora_name/.test(widget.name) && typeof widget.value === "string" && widget.value && widget.value !== "None") names.add(widget.value)
            }
    }
    return [...names]
}

/** @returns {Promise<number[]>} ids of the cards that the workflow names */
export async function idsInGraph() {
    const cards = await Promise.all(namesInGraph().map(cardNamed))
    return [...new Set(cards.flatMap(card => (card ? [card.id] : [])))]
}
