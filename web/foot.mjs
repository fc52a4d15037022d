/** The foot of the deck: a notice with Undo, or the question how to connect; the selection; how far scan and hashing are. */

import { h, icon, iconButton, renew } from "./dom.mjs?v=0.1.0"
import { undo, undoDepth } from "./host.mjs?v=0.1.0"
import { bytes, count, t } from "./words.mjs?v=0.1.0"

const NOTICE_MS = 6000

export class Foot {
    /** @param {() => void} lost where the keyboard's focus goes when what it was on is gone */
    constructor(lost) {
        this.lost = lost
        this.notices = h("div", { role: "status" })
        this.question = h("div")
        this.selection = h("div")
        this.progress = h("div")
        this.element = h("footer.ld-foot", { hidden: true }, this.notices, this.question, this.selection, this.progress)
        /** @type {ReturnType<typeof setTimeout>|undefined} */ this.timer = undefined
        this.depth = -1
        /** @type {{at: number, done: number}|undefined} when reading began, and how many were read then */ this.readSince = undefined
    }

    /** @param {HTMLElement} part @param {...(Node|null)} content */
    put(part, ...content) {
        renew(part, /** @type {Node[]} */ (content.filter(Boolean)), this.lost)
        for (const each of [this.notices, this.question, this.selection, this.progress]) each.hidden = !each.firstChild
        this.element.hidden = [...this.element.children].every(each => !each.firstChild)
    }

    /** @param {(Node|string)[]} content @param {boolean} [undoable] */
    notice(content, undoable = true) {
        this.depth = undoable ? undoDepth() : -1
        const back = h("button.ld-b.ld-b--28.ld-b--line", { type: "button", onClick: () => {
            this.hideNotice()
            undo()
        } }, icon("undo", "ld-i--12"), t("foot.undo"))
        const strip = h("div.ld-strip", null, h("span.ld-grow", null, content), undoable && back)
        this.put(this.notices, strip)
        clearTimeout(this.timer)
        const later = () => {
            if (strip.matches(":hover") || strip.contains(document.activeElement)) this.timer = setTimeout(later, 1000)
            else this.hideNotice()
        }
        this.timer = setTimeout(later, NOTICE_MS)
    }

    hideNotice() {
        clearTimeout(this.timer)
        this.depth = -1
        this.put(this.notices)
    }

    /** Undo takes back the last step, so the notice goes when another one was made. */
    graphChanged() {
        if (this.depth >= 0 && undoDepth() > this.depth) this.hideNotice()
    }

    /**
     * @param {(answer: "connect"|"insert"|null, remember: boolean) => void} answered
     * @param {(pointing: boolean) => void} pointing at the button that would connect
     * @param {boolean} focus whether to take the keyboard's focus
     */
    ask(answered, pointing, focus) {
        this.hideNotice()
        const remember = h("input", { type: "checkbox" })
        const done = (/** @type {"connect"|"insert"|null} */ answer) => {
            this.hideQuestion()
            answered(answer, remember.checked)
        }
        const connect = h("button.ld-b.ld-b--28.ld-b--go", {
            type: "button", onClick: () => done("connect"),
            onPointerenter: () => pointing(true), onPointerleave: () => pointing(false),
            onFocus: () => pointing(true), onBlur: () => pointing(false),
        }, t("connect.yes"))
        this.put(this.question, h("div.ld-ask", { role: "group", "aria-label": t("connect.label"), onKeydown: (/** @type {KeyboardEvent} */ e) => {
            if (e.key !== "Escape") return
            e.stopPropagation()
            done(null)
        } },
        h("div.ld-ask__t", null, icon("unlink"),
            h("p", null, h("b", { role: "status" }, t("connect.title")), h("span.ld-hint", null, t("connect.why"))),
            iconButton("x", t("connect.not_now"), { class: "ld-ib--28", onClick: () => done(null) })),
        h("div.ld-ask__go", null, connect,
            h("button.ld-b.ld-b--28", { type: "button", onClick: () => done("insert") }, t("connect.insert_only"))),
        h("label.ld-check", null, remember, t("connect.remember"))))
        if (focus) connect.focus({ preventScroll: true })
    }

    hideQuestion() {
        this.put(this.question)
    }

    get asking() {
        return Boolean(this.question.firstChild)
    }

    /**
     * @param {number} picked how many
     * @param {{insert: () => void, more: (button: HTMLElement) => void, clear: () => void}} actions
     */
    select(picked, actions) {
        this.put(this.selection, picked ? h("div.ld-strip", { role: "region", "aria-label": t("selection.label") },
            h("b.ld-grow", { style: { "font-weight": 500 } }, count("selection.count", picked)),
            h("button.ld-b.ld-b--28", { type: "button", onClick: actions.insert }, t("selection.insert")),
            iconButton("more", t("selection.more"), { class: "ld-ib--28", "aria-haspopup": "menu",
                onClick: (/** @type {Event} */ e) => actions.more(/** @type {HTMLElement} */ (e.currentTarget)) }),
            iconButton("x", t("selection.clear"), { class: "ld-ib--28", onClick: actions.clear })) : null)
    }

    /** @param {{done: number, total: number}} scan @returns {number} by the pace so far, 0 while there is none to tell */
    secondsToRead({ done, total }) {
        const now = performance.now()
        this.readSince ??= { at: now, done }
        const did = done - this.readSince.done
        const took = (now - this.readSince.at) / 1000
        return did > 0 && took > 1 ? ((total - done) * took) / did : 0
    }

    /**
     * @param {{phase: string, done: number, total: number}} scan
     * @param {any} hash
     * @param {(action: "start"|"cancel") => void} act on hashing
     */
    work(scan, hash, act) {
        const reading = scan.phase === "reading" && scan.total > 0
        if (!reading) this.readSince = undefined
        if (reading) {
            const parts = [t("progress.read", { done: scan.done, total: scan.total })]
            const seconds = this.secondsToRead(scan)
            if (seconds >= 1) parts.push(left(seconds))
            this.put(this.progress, bar(t("progress.scan"), scan.done, scan.total, parts.join(" · "), null))
        } else if (scan.phase !== "idle") {
            this.put(this.progress, bar(t("progress.scan"), null, scan.total, t("progress.found", { count: scan.total || scan.done }), null))
        } else if (hash.running && hash.total) {
            const parts = [t("progress.of", { done: hash.done, total: hash.total })]
            if (hash.paused) parts.push(t("progress.paused"))
            else if (hash.bytes_per_second) parts.push(`${bytes(hash.bytes_per_second)}/s`)
            if (hash.seconds_left && !hash.paused) parts.push(left(hash.seconds_left))
            const stop = iconButton("pause", t("progress.stop"), { class: "ld-ib--28", onClick: () => act("cancel") })
            this.put(this.progress, bar(t("progress.hash"), hash.done, hash.total, parts.join(" · "), stop))
        } else this.put(this.progress)
    }
}

/** @param {number} seconds */
const left = seconds => (seconds < 90 ? count("progress.seconds", Math.ceil(seconds)) : count("progress.minutes", Math.round(seconds / 60)))

/** @param {string} label @param {number|null} value @param {number} most @param {string} text @param {HTMLElement|null} button */
function bar(label, value, most, text, button) {
    const known = value !== null && most > 0
    return h("div.ld-prog", null,
        h("p", null, h("b", null, label), " ", h("span.ld-muted.ld-num", null, text)), button ?? h("span"),
        h("div.ld-bar", { role: "progressbar", "aria-label": label, "aria-valuetext": text, class: known ? "" : "is-unknown",
            ...(known ? { "aria-valuemin": 0, "aria-valuemax": most, "aria-valuenow": value } : {}) },
        h("i", known ? { style: { width: `${(100 * value) / most}%` } } : null)))
}

