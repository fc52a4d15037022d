/** The panel in the sidebar: it holds its parts together and gives the user's gestures to them. */

import { empty, failed, noHits, offline, skeleton } from "./blank.mjs?v=0.1.0"
import { fillCard, fault, isVideo, titleOf, video } from "./card.mjs?v=0.1.0"
import { architectureOf, checkpointName } from "./checkpoint.mjs?v=0.1.0"
import { h, iconButton, renew } from "./dom.mjs?v=0.1.0"
import { clearEverything } from "./filters.mjs?v=0.1.0"
import { Flyout } from "./flyout.mjs?v=0.1.0"
import { folderTiles, folderTree, foldersIn } from "./folders.mjs?v=0.1.0"
import { Foot } from "./foot.mjs?v=0.1.0"
import { Gestures } from "./gestures.mjs?v=0.1.0"
import { Grid } from "./grid.mjs?v=0.1.0"
import { onEvent, tabsCanClose, toggleSidebarTab } from "./host.mjs?v=0.1.0"
import { CardList, counts, hashing, refresh, resolve, status } from "./library.mjs?v=0.1.0"
import { idsInGraph, marksOf, targetText } from "./marks.mjs?v=0.1.0"
import { forgetMeanings } from "./meanings.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { pickNone } from "./selection.mjs?v=0.1.0"
import { chosen } from "./settings.mjs?v=0.1.0"
import { isNarrowed, onUpdate, state, update } from "./store.mjs?v=0.1.0"
import { onTarget } from "./target.mjs?v=0.1.0"
import { Tools } from "./tools.mjs?v=0.1.0"
import { moreItems } from "./view.mjs?v=0.1.0"
import { count, number, t } from "./words.mjs?v=0.1.0"

const TAB = "lora-deck"
const RENEW_MS = 700
const LOOK_MS = 500
const SKELETON_MS = 150
const RETRY_S = 8
/** What changes the list. */
const LISTED = ["text", "folder", "architectures", "families", "tags", "favourite", "used", "inGraph", "noPreview", "missing", "problem", "fits", "order", "descending"]

export class Deck {
    /** @param {HTMLElement} root */
    constructor(root) {
        this.root = root
        /** @type {(() => void)[]} */ this.ends = []
        /** @type {string[]} */ this.folders = []
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.renewing = undefined
        /** @type {ReturnType<typeof setInterval>|undefined} */ this.retrying = undefined
        /** @type {ReturnType<typeof setInterval>|undefined} */ this.looking = undefined
        /** @type {string|undefined} the prompt that the marks were made for */ this.marked = undefined
        /** @type {object|undefined} */ this.asked = undefined
        /** @type {any} */ this.scan = { phase: "idle", done: 0, total: 0 }
        /** @type {any} */ this.hash = { running: false }
        this.scanning = false
        this.closed = false
        /** @type {{name: string, architecture: string|null}} */ this.checkpoint = { name: "", architecture: null }
        /** @type {Map<number, string>} card id → weight in the prompt */ this.marks = new Map()
        /** @type {number[]} */ this.inGraph = []
        /** @type {any} */ this.counted = null
        /** @type {any} */ this.everything = null
        /** @type {any} */ this.frame = null
        this.list = new CardList(() => this.drawList(), error => this.showError(error))
        this.grid = new Grid({ fill: (e, i) => this.fill(e, i), need: (from, to) => this.list.need(from, to) }, t("deck.list"))
        this.foot = new Foot(() => this.takeFocus())
        this.flyout = new Flyout({
            weight: card => this.marks.get(card.id) ?? null,
            blurred: card => this.isBlurred(card),
            unblur: card => {
                state.shown.add(card.id)
                this.grid.refill()
                this.flyout.draw()
            },
            toggle: card => this.gestures.act([card]),
            step: (card, step) => this.gestures.step(card, step),
            edit: card => this.gestures.edit([card]),
        })
        this.tools = new Tools(this)
        this.gestures = new Gestures(this)
        this.build()
        this.grid.setSize(state.size)
        this.grid.focus = state.focus
        this.slow = setTimeout(() => !this.list.known && this.showBlank(skeleton()), SKELETON_MS)
        this.begin()
    }

    close() {
        clearInterval(this.looking)
        clearInterval(this.retrying)
        clearTimeout(this.slow)
        clearTimeout(this.renewing)
        for (const end of this.ends) end()
        this.tools.close()
        this.gestures.close()
        this.flyout.close()
        this.grid.close()
        this.frame.remove()
        this.closed = true
    }

    build() {
        this.notes = h("div")
        this.blank = h("div.ld-list.ld-scroll", { hidden: true })
        const more = iconButton("more", t("deck.more"), { "aria-haspopup": "menu", "aria-expanded": "false", onClick: () => openMenu(t("deck.more"), moreItems(this.hash), more) })
        this.frame = h("section.ld.ld-deck", { "aria-label": "LoRA Deck" },
            h("header.ld-head", null, h("h2", null, "LoRA Deck"), iconButton("refresh", t("deck.refresh"), { onClick: () => this.lookAgain() }), more,
                tabsCanClose() && iconButton("x", t("deck.close"), { onClick: () => toggleSidebarTab(TAB) })),
            this.notes, this.tools.element, this.tools.chips, this.tools.path,
            h("div.ld-body", null, this.tools.tree, h("div.ld-main", null, this.grid.element, this.blank)), this.foot.element)
        this.frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.gestures.keyInPanel(event))
        this.root.append(this.frame)
        this.tools.draw()
    }

    async begin() {
        this.ends = [
            onUpdate(patch => this.changed(patch)),
            onTarget(() => this.look()),
            onEvent("graphChanged", () => {
                this.foot.graphChanged()
                this.look()
            }),
            onEvent("lora-deck.changed", () => this.renewSoon()),
            onEvent("lora-deck.scan", scan => this.work({ scan })),
            onEvent("lora-deck.hash", hash => this.work({ hash })),
            onEvent("reconnected", () => this.list.renew(this.grid.firstInView())),
        ]
        this.looking = setInterval(() => this.look(), LOOK_MS)
        await this.look(true)
        this.reload()
        status().then(found => {
            this.folders = found.folders
            this.work(found)
            if (this.list.known) this.drawList()
        }, error => this.showError(error))
    }

    // ── what is shown ───────────────────────────────────────────────────────────────────────────────────────

    /** @returns {boolean} whether the list is narrowed to the checkpoint */
    get fitting() {
        return state.fits && Boolean(this.checkpoint.architecture) && !state.architectures.length
    }

    query() {
        return {
            text: state.text, folder: state.folder, family: state.families, tag: state.tags, favourite: state.favourite, used: state.used,
            no_preview: state.noPreview, missing: state.missing, problem: state.problem,
            architecture: this.fitting ? [this.checkpoint.architecture, ""] : state.architectures,
            ...(state.inGraph ? { ids: this.inGraph.length ? this.inGraph : [0] } : {}),
        }
    }

    reload() {
        this.list.show({ ...this.query(), order: state.order, descending: state.descending })
        this.recount()
    }

    async recount() {
        const asked = (this.asked = {})
        try {
            const [found, everything] = await Promise.all([counts(this.query()), counts({})])
            if (asked !== this.asked) return
            this.counted = found
            this.everything = everything
        } catch (error) {
            return void this.showError(/** @type {any} */ (error))
        }
        this.tools.draw()
        this.drawFolders()
        this.drawTail()
    }

    /** The folders in this one, above its cards. */
    drawFolders() {
        const folders = chosen("FoldersFirst") && !state.text && this.counted ? foldersIn(folderTree(this.counted.folder), state.folder) : []
        this.grid.lead(folders.length ? folderTiles(folders) : null)
    }

    /** How many the checkpoint hides. */
    get concealed() {
        if (!this.fitting || !this.counted) return 0
        const fits = [this.checkpoint.architecture, ""]
        return Object.entries(this.counted.architecture).reduce((all, [name, many]) => all + (fits.includes(name) ? 0 : many), 0)
    }

    /** @param {Partial<import("./store.mjs").State>} patch */
    changed(patch) {
        const keys = Object.keys(patch)
        if (keys.includes("size")) this.grid.setSize(state.size)
        if (keys.some(key => LISTED.includes(key))) {
            if (keys.includes("text") && this.tools.search.value !== state.text) this.tools.search.value = state.text
            this.grid.element.scrollTop = 0
            this.grid.focus = 0
            if (patch.inGraph) this.look(true).then(() => this.reload())
            else this.reload()
        }
        if (keys.includes("picked")) this.drawPicked()
        if (keys.includes("folder") || keys.includes("text")) this.drawFolders()
        this.tools.draw()
    }

    // ── the list ────────────────────────────────────────────────────────────────────────────────────────────

    /** @param {import("./library.mjs").Card} card */
    isBlurred(card) {
        return card.adult && !state.shown.has(card.id) && chosen("BlurAdult") !== false && Boolean(card.preview_version)
    }

    /** @param {HTMLElement} element @param {number} index */
    fill(element, index) {
        const card = this.list.at(index)
        fillCard(element, card, {
            on: (card && this.marks.get(card.id)) ?? null, picked: Boolean(card && state.picked.has(card.id)),
            blurred: Boolean(card && this.isBlurred(card)), size: state.size,
        })
    }

    drawList() {
        clearTimeout(this.slow)
        const first = this.grid.total === 0
        this.grid.setTotal(this.list.total)
        if (this.list.total) {
            this.grid.element.hidden = false
            const held = this.blank.contains(document.activeElement)
            this.blank.hidden = true
            if (held) this.takeFocus()
            if (first && state.scroll) this.grid.element.scrollTop = state.scroll
            this.grid.refill()
        } else this.showNothing()
        this.drawTail()
        const many = this.tools.path.querySelector(".ld-path__n")
        if (many) many.textContent = number(this.list.total)
    }

    drawTail() {
        const hiding = this.concealed
        renew(this.grid.after, hiding ? [h("p.ld-hid", null, count("deck.hidden", hiding, { name: titleOf(this.checkpoint.name) }), " ",
            h("button.ld-link", { type: "button", onClick: () => update({ fits: false }) }, t("deck.show_them")))] : [], () => this.takeFocus())
        if (this.list.known && !this.list.total) this.showNothing()
    }

    /** Takes the keyboard's focus, where what had it is gone. The list does not scroll for it. */
    takeFocus() {
        const card = this.grid.alive.get(this.grid.focus)
        const to = card?.checkVisibility() ? card : this.tools.search
        to.focus({ preventScroll: true })
    }

    /** @param {Node} content */
    showBlank(content) {
        renew(this.blank, [content], () => this.takeFocus())
        this.blank.hidden = false
        this.grid.element.hidden = true
    }

    showNothing() {
        if (!isNarrowed() && !this.concealed) {
            if (this.scanning) return this.showBlank(skeleton())
            return this.showBlank(empty(this.folders, () => this.lookAgain()))
        }
        const draw = (/** @type {string} */ suggestion) => this.showBlank(noHits(
            { text: state.text, hidden: this.concealed, fits: this.checkpoint.architecture ?? "", suggestion },
            { suggest: text => update({ text }), showHidden: () => update({ fits: false }), clear: clearEverything }))
        draw("")
        const { text } = state
        if (text) resolve(text).catch(error => {
            const [suggestion = ""] = error.body?.suggestions ?? []
            if (suggestion && state.text === text && !this.list.total) draw(titleOf(suggestion))
        })
    }

    /** @param {import("./library.mjs").LibraryError|null} error */
    showError(error) {
        clearInterval(this.retrying)
        this.retrying = undefined
        if (!error) return renew(this.notes, [], () => this.takeFocus())
        clearTimeout(this.slow)
        const again = () => {
            clearInterval(this.retrying)
            this.list.renew(this.grid.firstInView())
            this.recount()
        }
        if (error.status) return renew(this.notes, [failed(error.message, again)])
        let left = RETRY_S
        const note = offline(left, again)
        renew(this.notes, [note])
        this.retrying = setInterval(() => {
            left--
            const words = note.querySelector("span")
            if (words) words.textContent = t("blank.trying", { seconds: left })
            if (left <= 0) again()
        }, 1000)
    }

    renewSoon() {
        forgetMeanings()
        this.renewing ??= setTimeout(() => {
            this.renewing = undefined
            this.marked = undefined
            this.list.renew(this.grid.firstInView())
            this.recount()
            this.look()
        }, RENEW_MS)
    }

    async lookAgain() {
        try {
            this.work(await refresh())
        } catch (error) {
            this.showError(/** @type {any} */ (error))
        }
    }

    /** @param {{scan?: any, hash?: any}} found */
    work({ scan, hash }) {
        this.scan = scan ?? this.scan
        this.hash = hash ?? this.hash
        const was = this.scanning
        this.scanning = this.scan.phase !== "idle"
        this.foot.work(this.scan, this.hash, action => hashing(action).then(now => this.work({ hash: now }), error => this.showError(error)))
        if (was && !this.scanning && this.list.known && !this.list.total) this.renewSoon()
    }

    // ── the graph ───────────────────────────────────────────────────────────────────────────────────────────

    /** Looks at the prompt and the checkpoint, and marks the cards. @param {boolean} [graph] whether to ask what the graph names, too */
    async look(graph = false) {
        const text = targetText()
        if (text !== this.marked) {
            this.marked = text
            const marks = await marksOf(text)
            if (text === this.marked) this.setMarks(marks)
        }
        const name = checkpointName()
        if (name !== this.checkpoint.name) {
            const architecture = name ? await architectureOf(name) : null
            const before = this.checkpoint.architecture
            this.checkpoint = { name, architecture }
            if (this.list.known && before !== architecture) this.reload()
            if (!this.closed) this.tools.draw()
        }
        if (graph || state.inGraph) {
            const ids = await idsInGraph()
            const same = ids.length === this.inGraph.length && ids.every(id => this.inGraph.includes(id))
            this.inGraph = ids
            if (!same && state.inGraph && this.list.known) this.reload()
        }
    }

    /** @param {Map<number, string>} marks */
    setMarks(marks) {
        const before = this.marks
        const changed = new Set([...before.keys(), ...marks.keys()].filter(id => before.get(id) !== marks.get(id)))
        this.marks = marks
        if (!changed.size) return
        this.grid.refill(index => changed.has(this.list.at(index)?.id ?? -1))
        this.flyout.draw()
    }

    drawPicked() {
        this.frame.classList.toggle("is-picking", state.picked.size > 0)
        if (state.picked.size) this.gestures.bar.hide()
        this.grid.refill()
        this.foot.select(state.picked.size, {
            insert: () => this.gestures.withPicked(cards => this.gestures.act(cards)),
            more: button => this.gestures.withPicked(cards => this.gestures.menu(cards, button)),
            clear: pickNone,
        })
    }

    /** @param {HTMLElement} element @param {import("./library.mjs").Card} card */
    play(element, card) {
        const place = element.querySelector(".ld-pic")
        if (!isVideo(card) || this.isBlurred(card) || fault(card) || !place || place.querySelector("video")) return
        place.append(video(card))
    }
}

/** The element that the host is given: the deck lives as long as it stands in the page. */
export class DeckElement extends HTMLElement {
    /** @type {Deck|undefined} */ deck = undefined

    connectedCallback() {
        this.deck ??= new Deck(this)
    }

    disconnectedCallback() {
        this.deck?.close()
        this.deck = undefined
    }
}
