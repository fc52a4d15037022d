/**
 * The panel of what a workflow from elsewhere needs a person for: LoRAs that are not here, and names that mean a file of
 * other content.
 *
 * @typedef {import("./library.mjs").NamedLora} NamedLora
 * @typedef {import("./library.mjs").Relinked} Relinked
 * @typedef {object} Answers
 * @property {(lora: NamedLora, id: number) => Promise<boolean>} choose puts the file with this id in its place
 * @property {(lora: NamedLora) => void} skip
 */

import { titleOf } from "./card.mjs?v=0.1.0"
import { copyText } from "./clipboard.mjs?v=0.1.0"
import { h, icon, iconButton } from "./dom.mjs?v=0.1.0"
import { toast } from "./host.mjs?v=0.1.0"
import { showDialog } from "./host_dialog.mjs?v=0.1.0"
import { showNode } from "./host_workflow.mjs?v=0.1.0"
import { LibraryError, page, resolve } from "./library.mjs?v=0.1.0"
import { hueOf } from "./placeholder.mjs?v=0.1.0"
import { bytes, count, number, t } from "./words.mjs?v=0.1.0"

const HITS = 6
const WEB_SEARCH = "https://civitai.com/search/models?query="

/** @type {Panel|null} */ let shown = null

/** @param {Relinked} result @param {Answers} answers */
export function openMissing(result, answers) {
    shown?.close()
    shown = new Panel(result, answers)
}

class Panel {
    /** @param {Relinked} result @param {Answers} answers */
    constructor(result, answers) {
        this.result = result
        this.answers = answers
        this.open = [...result.missing, ...result.differing]
        this.title = h("h2", { id: "ld-missing-title" })
        this.list = h("div.ld-miss__l.ld-scroll", { tabindex: 0, role: "region", "aria-label": t("missing.region") })
        this.done = h("button.ld-b.ld-b--go", { type: "button", onClick: () => this.close() }, t("missing.done"))
        this.element = h("div.ld.ld-dlg.ld-miss", { onKeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) },
            h("div.ld-top", null, h("div", null, this.title, h("p.ld-sub", null, t("missing.why"))), iconButton("x", t("dialog.close"), { onClick: () => this.close() })),
            this.list,
            h("div.ld-bot", null, h("span.ld-state", null, t("missing.stay_marked")),
                h("button.ld-b.ld-b--quiet", { type: "button", onClick: () => this.skipAll() }, t("missing.skip_all")), this.done))
        this.draw()
        this.end = showDialog("missing", this.element, "ld-missing-title", () => this.focus())
    }

    close() {
        if (shown === this) shown = null
        this.end()
    }

    skipAll() {
        for (const lora of this.open) this.answers.skip(lora)
        this.close()
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        event.stopPropagation()
        if (event.key === "Escape") this.close()
    }

    draw() {
        const { found, total } = this.result
        this.title.textContent = count("missing.title", this.open.length, { total: number(total) })
        const section = (/** @type {import("./dom.mjs").IconName} */ sign, /** @type {string} */ title, /** @type {NamedLora[]} */ loras, /** @type {boolean} */ other) =>
            loras.length > 0 && [h("h3", null, icon(sign), title, h("span.ld-count", null, number(loras.length))), h("ul", null, loras.map(lora => this.item(lora, other)))]
        const missing = this.open.filter(lora => this.result.missing.includes(lora))
        const differing = this.open.filter(lora => this.result.differing.includes(lora))
        this.list.replaceChildren(...[
            section("search", t("missing.not_here"), missing, false),
            section("bad", t("missing.other_content"), differing, true),
            found.length > 0 && h("details.ld-fold", null,
                h("summary", null, icon("right"), t("missing.found"), h("span.ld-count", null, number(found.length)), h("span.ld-hint", null, t("missing.updated"))),
                h("ul.ld-fold__l", null, found.map(lora => h("li", null, h("span", null, lora.name), " → ", h("b", null, lora.file ?? ""))))),
        ].flat().filter(Boolean))
    }

    /** @param {NamedLora} lora @param {boolean} other */
    item(lora, other) {
        const hash = lora.autov2 ?? lora.autov3
        const short = titleOf(lora.name)
        const fact = (/** @type {string} */ label, /** @type {string|null} */ value) => value && h("span", null, `${label} `, h("code", null, value))
        const picker = h("div.ld-lost__p", { hidden: true })
        const locate = h(`button.ld-b.ld-b--28${other ? "" : ".ld-b--go"}`, { type: "button", "aria-expanded": "false", onClick: () => this.locate(lora, picker, locate) }, t("missing.locate"))
        const used = lora.used_by.map(({ graph, node, title, kind }) =>
            h("button.ld-link", { type: "button", onClick: () => { this.close(); showNode(graph, node) } }, kind === "tag" ? t("missing.prompt_in", { node }) : `${title} #${node}`))
        return h("li.ld-lost", { "data-name": lora.name },
            h("div.ld-pic", null, h("div.ld-gone", null, icon(other ? "bad" : "search", "ld-i--20"))),
            h("div", null, h("h4", null, lora.name),
                h("div.ld-lost__f", null,
                    lora.base_model && h("span", null, h("i.ld-dot", { style: { "--h": hueOf(lora.base_model) } }), lora.base_model),
                    lora.weights && h("span", null, lora.weights), fact("AutoV2", lora.autov2), fact("AutoV3", lora.autov3),
                    lora.size !== null && h("span", null, bytes(lora.size)))),
            h("div.ld-lost__a", null,
                other && lora.own && h("button.ld-b.ld-b--28", { type: "button", onClick: () => lora.own && this.choose(lora, lora.own.id) }, t("missing.use_this")),
                locate,
                h("button.ld-b.ld-b--28", { type: "button", onClick: () => this.skip(lora) }, t("missing.skip")),
                hash && iconButton("copy", t("missing.copy_hash", { name: short }), { class: "ld-ib--28", onClick: () => this.copy(hash) }),
                hash && h("a.ld-ib.ld-ib--28", { href: WEB_SEARCH + hash, target: "_blank", rel: "noopener noreferrer", "aria-label": t("missing.search_web", { name: short }), title: t("missing.search_web", { name: short }) }, icon("link"))),
            h("div.ld-lost__m", null,
                other && h("span.ld-lost__w", null, t("missing.differs", { file: lora.own?.name ?? "" })),
                h("span.ld-muted", null, t("missing.used_by")), used,
                !other && (lora.closest
                    ? [h("span.ld-muted", null, t("missing.closest")), h("button.ld-link", { type: "button", onClick: () => this.chooseNamed(lora, lora.closest) }, lora.closest)]
                    : h("span.ld-muted", null, t("missing.nothing_close")))),
            picker)
    }

    /** @param {string} hash */
    async copy(hash) {
        try {
            await copyText(hash)
            toast("success", t("missing.copied"), hash)
        } catch {
            toast("warn", t("missing.not_copied"), hash)
        }
    }

    /** @param {NamedLora} lora */
    skip(lora) {
        this.answers.skip(lora)
        this.settled(lora)
    }

    /** @param {NamedLora} lora */
    settled(lora) {
        this.open = this.open.filter(each => each !== lora)
        if (!this.open.length) return this.close()
        this.draw()
        this.focus()
    }

    /** On the first thing that can be done about the first LoRA. */
    focus() {
        const first = /** @type {HTMLElement|null} */ (this.list.querySelector(".ld-lost__a button"))
        ;(first ?? this.done).focus()
    }

    /** @param {NamedLora} lora @param {string} name */
    async chooseNamed(lora, name) {
        try {
            await this.choose(lora, (await resolve(name)).card.id)
        } catch (error) {
            this.failed(error)
        }
    }

    /** @param {NamedLora} lora @param {number} id */
    async choose(lora, id) {
        try {
            if (await this.answers.choose(lora, id)) this.settled(lora)
        } catch (error) {
            this.failed(error)
        }
    }

    /** @param {unknown} error */
    failed(error) {
        if (!(error instanceof LibraryError)) throw error
        toast("error", t("notice.failed"), error.status ? error.message : t("blank.offline"))
    }

    /** Shows a search below an entry. @param {NamedLora} lora @param {HTMLElement} picker @param {HTMLElement} button */
    locate(lora, picker, button) {
        picker.hidden = !picker.hidden
        button.setAttribute("aria-expanded", String(!picker.hidden))
        if (picker.hidden) return
        const hits = h("div.ld-lost__h", { role: "listbox", "aria-label": t("missing.hits") })
        let asked = 0
        const search = async () => {
            const mine = ++asked
            try {
                const answer = await page({ text: input.value.trim(), order: "name" }, 0, HITS)
                if (mine !== asked) return
                hits.replaceChildren(...answer.items.map((/** @type {import("./library.mjs").Card} */ card) =>
                    h("button.ld-lost__hit", { type: "button", role: "option", "aria-selected": "false", onClick: () => this.choose(lora, card.id) },
                        h("span", null, card.name), card.architecture && h("span.ld-muted", null, card.architecture))))
                if (!answer.items.length) hits.replaceChildren(h("p.ld-muted", null, t("missing.no_hits")))
            } catch (error) {
                this.failed(error)
            }
        }
        const input = h("input", { type: "text", role: "searchbox", "aria-label": t("missing.search"), placeholder: t("missing.search"), onInput: search })
        picker.replaceChildren(h("div.ld-field", null, icon("search"), input), hits)
        void search()
        input.focus()
    }
}
