/** What the file says about its training: pictures, tags, a random prompt of the tags, and how it was trained. */

import { copyAndSay } from "./clipboard.mjs?v=0.1.0"
import { partsOf, randomPrompt } from "./trained.mjs?v=0.1.0"
import { tagChip } from "./dialog_form.mjs?v=0.1.0"
import { h, icon } from "./dom.mjs?v=0.1.0"
import { asOneStep, replaceText } from "./host.mjs?v=0.1.0"
import { target } from "./target.mjs?v=0.1.0"
import { count, day, number, t } from "./words.mjs?v=0.1.0"

const BUCKETS = 12
/** Chips drawn at once: ten thousand would hold the page. */
const CHIPS = 200
/** Facts that the left column shows. */
const BESIDE = ["trained_as", "trained_on", "images", "epochs", "rank", "alpha"]
/** Facts that are a time in seconds since 1970. */
const TIMES = ["finished"]

export class TrainingTab {
    /** @param {import("./dialog.mjs").Dialog} dialog */
    constructor(dialog) {
        this.dialog = dialog
        this.most = CHIPS
        this.buckets = h("div")
        this.many = h("span.ld-hint")
        this.search = h("input", { id: "ld-f-search-tags", type: "text", role: "searchbox", "aria-label": t("dialog.search_tags"), placeholder: t("dialog.search_tags_hint"), autocomplete: "off", spellcheck: false,
            onInput: () => {
                this.most = CHIPS
                this.drawPool()
            } })
        this.pool = h("div.ld-pool", { role: "group", "aria-label": t("dialog.all_tags") })
        this.tags = h("div", null, h("div.ld-lab", null, h("span.ld-l", null, t("dialog.all_tags")), this.many,
            h("div.ld-field.ld-field--28", null, icon("search"), this.search)), this.pool)
        this.prompt = h("p.ld-md", { "aria-live": "polite" })
        this.outcome = h("span.ld-hint", { role: "status" })
        this.random = h("div", null,
            h("div.ld-lab", null, h("span.ld-l", null, t("dialog.random")), h("button.ld-b.ld-b--28", { type: "button", onClick: () => this.again() }, icon("dice"), t("dialog.again"))),
            this.prompt, h("div.ld-fly__go.ld-fly__go--left", null,
                h("button.ld-b.ld-b--28", { type: "button", onClick: () => this.insert() }, icon("text"), t("dialog.into_prompt")),
                h("button.ld-b.ld-b--28", { type: "button", onClick: () => void this.copy() }, icon("copy"), t("dialog.copy")), this.outcome))
        this.facts = h("div")
        this.nothing = h("p.ld-hint", null, t("dialog.no_training"))
        this.element = h("div.ld-part", null, this.nothing, this.buckets, this.tags, this.random, this.facts)
    }

    fill() {
        const { training_tags: tags, resolutions, training } = this.dialog.card
        const pictures = resolutions.reduce((all, [, many]) => all + many, 0)
        const top = Math.max(1, ...resolutions.map(([, many]) => many))
        this.buckets.hidden = !resolutions.length
        this.buckets.replaceChildren(
            h("div.ld-lab", null, h("span.ld-l", null, t("dialog.buckets")), h("span.ld-hint", null, count("dialog.images", pictures))),
            h("div.ld-hist", null, resolutions.slice(0, BUCKETS).flatMap(([size, many]) => [
                h("span", null, size.replace("x", " × ")), h("div.ld-bar", null, h("i", { style: { width: `${(many / top) * 100}%` } })), h("span.ld-muted", null, number(many))])))
        const facts = Object.entries(training).filter(([key]) => !BESIDE.includes(key))
        this.facts.hidden = !facts.length
        this.facts.replaceChildren(h("div.ld-lab", null, h("span.ld-l", null, t("dialog.training"))),
            h("dl.ld-facts.ld-facts--wide", null, facts.flatMap(([key, value]) => [h("dt", null, t(`dialog.facts.${key}`)), h("dd", null, TIMES.includes(key) && Number(value) ? day(Number(value)) : value)])))
        this.tags.hidden = this.random.hidden = !tags.length
        this.nothing.hidden = Boolean(tags.length || resolutions.length || facts.length)
        this.many.textContent = number(tags.length)
        if (!this.prompt.textContent) this.again()
    }

    drawPool() {
        const wanted = this.search.value.trim().toLocaleLowerCase()
        const all = this.dialog.card.training_tags
        const found = wanted ? all.filter(([tag]) => tag.toLocaleLowerCase().includes(wanted)) : all
        const held = this.pool.contains(document.activeElement) ? document.activeElement?.getAttribute("data-tag") : null
        const on = partsOf(this.dialog.draft.now.activation_text)
        const rest = found.length - this.most
        this.pool.replaceChildren(...found.slice(0, this.most).map(([tag, many]) => tagChip(tag, many, on.has(tag), () => this.dialog.form.toggle(tag))),
            ...(rest > 0 ? [h("button.ld-chip.ld-chip--24", { type: "button", onClick: () => {
                this.most += CHIPS
                this.drawPool()
            } }, t("dialog.more_tags", { count: rest }))] : []))
        if (!found.length) this.pool.append(h("span.ld-hint", null, t("dialog.no_tags")))
        if (held) /** @type {HTMLElement|null} */ (this.pool.querySelector(`[data-tag="${CSS.escape(held)}"]`))?.focus()
    }

    /** Another random prompt. */
    again() {
        this.outcome.textContent = ""
        this.prompt.textContent = randomPrompt(this.dialog.card.training_tags)
    }

    /** Shows another random prompt, from another tab. */
    surprise() {
        this.dialog.show("training")
        this.again()
        const button = this.random.querySelector("button")
        this.random.scrollIntoView({ block: "nearest" })
        button?.focus()
    }

    insert() {
        const { field, fed } = target()
        const text = this.prompt.textContent ?? ""
        if (!field || fed) {
            this.outcome.textContent = t(fed ? "notice.fed" : "notice.none")
            return
        }
        const before = String(field.widget.value)
        const gap = !before.trim() ? "" : before.trimEnd().endsWith(",") ? " " : ", "
        asOneStep(() => replaceText(field.node, field.widget, before.trimEnd().length, before.length, gap + text))
        this.outcome.textContent = t("dialog.inserted")
    }

    async copy() {
        this.outcome.textContent = await copyAndSay(this.prompt.textContent ?? "")
    }
}
