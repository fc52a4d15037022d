/** The left column of the dialog: the preview and how to change it, and what is known about the file. */

import { fault, isVideo, picture, video } from "./card.mjs?v=0.1.0"
import { copyAndSay } from "./clipboard.mjs?v=0.1.0"
import { h, icon, iconButton, renew } from "./dom.mjs?v=0.1.0"
import { lastImage } from "./last_image.mjs?v=0.1.0"
import { LibraryError, fullCard, hashFiles, sendPreview } from "./library.mjs?v=0.1.0"
import { hueOf } from "./placeholder.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { state } from "./store.mjs?v=0.1.0"
import { bytes, day, t } from "./words.mjs?v=0.1.0"

const TAKEN = /^(image|video)\//

/** @param {File} file @returns {Promise<string>} a data address */
const readFile = file => new Promise((done, failed) => {
    const reader = new FileReader()
    reader.onload = () => done(String(reader.result))
    reader.onerror = () => failed(reader.error)
    reader.readAsDataURL(file)
})

/** @param {DataTransfer|null} transfer @returns {File|undefined} */
const pictureIn = transfer => [...(transfer?.files ?? [])].find(file => TAKEN.test(file.type))

export class Side {
    /** @param {import("./dialog.mjs").Dialog} dialog */
    constructor(dialog) {
        this.dialog = dialog
        this.busy = false
        /** @type {any} */ this.work = null
        this.picture = h("div.ld-side__p")
        this.file = h("input", { type: "file", accept: "image/*,video/mp4,video/webm", hidden: true, onChange: () => void this.take(this.file.files?.[0]) })
        const button = (/** @type {import("./dom.mjs").IconName} */ name, /** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ run) =>
            h("button.ld-b.ld-b--28", { type: "button", title, onClick: run }, icon(name), text)
        this.choose = button("upload", t("dialog.choose"), t("dialog.choose_title"), () => this.file.click())
        this.last = button("image", t("dialog.last"), t("dialog.last_title"), () => void this.takeLast())
        this.adult = button("eyeoff", t("dialog.adult"), t("dialog.adult_title"), () => this.dialog.form.setAdult(this.adult.getAttribute("aria-pressed") !== "true"))
        this.said = h("p.ld-hint", { role: "status" })
        this.question = h("div.ld-side__q")
        this.hashed = h("div.ld-side__h")
        this.facts = h("div.ld-side__f")
        /** @type {HTMLElement} */ this.element = h("aside.ld-side.ld-scroll", { "aria-label": t("dialog.side") }, this.picture,
            h("div.ld-side__b", { role: "group", "aria-label": t("dialog.previewed") },
                this.choose, button("clip", t("dialog.paste"), t("dialog.paste_title"), () => void this.paste()), this.last, this.adult, this.file),
            this.question, this.said, this.facts, this.hashed)
    }

    draw() {
        const { card } = this.dialog
        const blurred = card.adult && chosen("BlurAdult") !== false && !state.shown.has(card.id) && Boolean(card.preview_version)
        const shown = picture({ ...card, favourite: false }, { on: null, picked: false, blurred, size: "large" })
        if (isVideo(card) && !blurred && !fault(card)) shown.append(video(card))
        renew(this.picture, [shown, ...(blurred ? [h("button.ld-b.ld-b--28.ld-side__s", { type: "button", onClick: () => {
            state.shown.add(card.id)
            this.draw()
        } }, icon("eyeoff"), t("flyout.show"))] : [])], () => this.choose.focus())
        this.last.disabled = !lastImage()
        this.drawAdult()
        this.drawFacts()
    }

    drawAdult() {
        const tags = /** @type {string[]} */ (this.dialog.draft.now.tags ?? [])
        this.adult.setAttribute("aria-pressed", String(tags.some(tag => tag.toLowerCase() === "nsfw")))
    }

    drawFacts() {
        const { card } = this.dialog
        const { training } = card
        const fact = (/** @type {string} */ key, /** @type {any} */ value) => (value === "" || value == null ? [] : [h("dt", null, t(`dialog.facts.${key}`)), h("dd", null, value)])
        const list = (/** @type {any[]} */ ...facts) => facts.flat().length > 0 && h("dl.ld-facts", null, facts.flat())
        const hash = (/** @type {string} */ name, /** @type {string|null} */ value) => (value ? [h("dt", null, name), h("dd", null, h("code", null, value), iconButton("copy", t("dialog.copy_hash", { name }), {
            onClick: () => void copyAndSay(value).then(said => (this.said.textContent = said)) }))] : [])
        const ranks = card.ranks ? (card.ranks[0] === card.ranks[1] ? String(card.ranks[0]) : `${card.ranks[0]}–${card.ranks[1]}`) : ""
        const alpha = training.alpha ? t("dialog.alpha", { rank: ranks, alpha: training.alpha }) : ranks
        const images = training.images ? (training.epochs ? t("dialog.images_epochs", { images: training.images, epochs: training.epochs }) : training.images) : ""
        this.facts.replaceChildren(.../** @type {Node[]} */ ([
            list(fact("file", card.name.replace(/^.*\//, "")), fact("folder", card.folder.replaceAll("/", " / ")), fact("size", bytes(card.size)), fact("added", day(card.added)), fact("changed", day(card.modified))),
            list(hash("AutoV2", card.autov2), hash("AutoV3", card.autov3)),
            list(fact("family", card.family && t("dialog.family", { family: card.family, count: card.tensors })), fact("rank", ranks && alpha),
                fact("base", card.architecture && [h("i.ld-dot", { style: { "--h": hueOf(card.architecture) } }), card.architecture]),
                fact("trained_as", training.trained_as), fact("trained_on", training.trained_on), fact("images", images)),
            ...card.problems.map(problem => h("p.ld-hint", null, problem.reason)),
        ].filter(Boolean)))
        this.drawHash()
    }

    // ── hashes ──────────────────────────────────────────────────────────────────────────────────────────────

    drawHash() {
        const { card } = this.dialog
        if (card.autov2 && card.autov3) return this.hashed.replaceChildren()
        if (!this.work?.running) return this.hashed.replaceChildren(h("button.ld-b.ld-b--28", { type: "button", onClick: () => void this.hash() }, icon("hash"), t("dialog.compute")))
        const { bytes: done, total_bytes: all } = this.work
        const share = all ? Math.min(100, (done / all) * 100) : 0
        this.hashed.replaceChildren(h("div.ld-bar", { role: "progressbar", "aria-label": t("progress.hash"), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share) }, h("i", { style: { width: `${share}%` } })))
    }

    async hash() {
        const state = await this.tried(hashFiles([this.dialog.card.id]))
        if (state) this.hashing(state)
    }

    /** @param {any} state how far hashing is */
    async hashing(state) {
        const { card } = this.dialog
        if (card.autov2 && card.autov3) return
        this.work = state
        this.drawHash()
        if (state.running) return
        const now = await fullCard(card.id).catch(() => null)
        if (!now?.autov2 || this.dialog.card.id !== now.id) return
        Object.assign(this.dialog.card, { autov2: now.autov2, autov3: now.autov3, hashes: now.hashes })
        this.drawFacts()
    }

    // ── preview ─────────────────────────────────────────────────────────────────────────────────────────────

    /** Takes pictures that are dropped on or pasted into the dialog. @param {HTMLElement} dialog */
    watch(dialog) {
        let over = 0
        const zone = h("div.ld-dropzone", { hidden: true }, icon("upload", "ld-i--20"), t("dialog.drop"))
        const isFile = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes("Files")
        const show = (/** @type {boolean} */ on) => {
            zone.hidden = !on
            if (on) this.picture.append(zone)
        }
        dialog.addEventListener("dragenter", event => isFile(event) && show(++over > 0))
        dialog.addEventListener("dragleave", event => isFile(event) && show(--over > 0))
        dialog.addEventListener("dragover", event => {
            if (!isFile(event)) return
            event.preventDefault()
            event.stopPropagation()
        })
        dialog.addEventListener("drop", event => {
            if (!isFile(event)) return
            event.preventDefault()
            event.stopPropagation()
            over = 0
            show(false)
            const file = pictureIn(event.dataTransfer)
            if (file) void this.take(file)
            else this.said.textContent = t("dialog.no_picture")
        })
        dialog.addEventListener("paste", event => {
            event.stopPropagation()
            const file = pictureIn(event.clipboardData)
            if (!file) return
            event.preventDefault()
            void this.take(file)
        })
    }

    async paste() {
        try {
            for (const item of await navigator.clipboard.read()) {
                const type = item.types.find(each => TAKEN.test(each))
                if (type) return void this.take(new File([await item.getType(type)], "pasted", { type }))
            }
            this.said.textContent = t("dialog.nothing_to_paste")
        } catch {
            // Browsers give the clipboard to pages at a safe address alone; the keys work everywhere.
            this.said.textContent = t("dialog.paste_by_keys")
        }
    }

    /** @param {File|undefined} file */
    async take(file) {
        if (!file) return
        this.file.value = ""
        await this.send({ data: await readFile(file) })
    }

    async takeLast() {
        const image = lastImage()
        if (image) await this.send({ image })
    }

    /** @param {{data: string}|{image: any}} what @param {boolean} [replace] */
    async send(what, replace = false) {
        if (this.busy) return
        this.busy = true
        this.question.replaceChildren()
        this.said.textContent = t("dialog.saving")
        try {
            const answer = await sendPreview(this.dialog.card.id, what, replace)
            const { preview_kind, preview_version, problems } = answer.card
            Object.assign(this.dialog.card, { preview_kind, preview_version, problems })
            this.draw()
            this.said.textContent = t("dialog.saved", { name: answer.saved })
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            this.said.textContent = ""
            if (error.status === 409 && error.body?.exists) this.ask(error.body.exists, () => this.send(what, true))
            else this.said.textContent = error.status ? error.message : t("dialog.offline")
        } finally {
            this.busy = false
        }
    }

    /** Asks before a file of the user's is replaced. @param {string} name @param {() => void} yes */
    ask(name, yes) {
        const end = () => renew(this.question, [], () => this.choose.focus())
        this.question.replaceChildren(h("div.ld-note.ld-note--in", { role: "alert" }, icon("warn"), h("div.ld-grow", null, h("b", null, t("menu.replace", { name })),
            h("div.ld-side__b", null,
                h("button.ld-b.ld-b--28", { type: "button", onClick: () => {
                    end()
                    yes()
                } }, t("menu.replace_yes")),
                h("button.ld-b.ld-b--28", { type: "button", onClick: end }, t("menu.replace_no"))))))
        this.question.querySelector("button")?.focus()
    }

    /** @template T @param {Promise<T>} asked @returns {Promise<T|null>} */
    async tried(asked) {
        try {
            return await asked
        } catch (error) {
            if (!(error instanceof LibraryError)) throw error
            this.said.textContent = error.status ? error.message : t("dialog.offline")
            return null
        }
    }
}
