/** Texts for the clipboard, also where the page came over plain HTTP from another machine: browsers then give pages none. */

import { t } from "./words.mjs?v=0.1.0"

/** What to say after a text was to be copied. @param {string} text */
export async function copyAndSay(text) {
    try {
        await copyText(text)
    } catch (error) {
        if (!(error instanceof DOMException)) throw error
        return t("notice.not_copied")
    }
    return t("notice.copied")
}

/** Rejects where the browser does not allow it. @param {string} text */
export async function copyText(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text)
    const held = document.activeElement
    // Inside what holds the focus, as a dialog takes it back from anywhere else.
    const holder = held?.closest("[role=dialog], .ld") ?? document.body
    const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, tabIndex: -1 })
    area.style.cssText = "position: fixed; inset: 0 auto auto 0; width: 1px; height: 1px; opacity: 0"
    holder.append(area)
    area.focus({ preventScroll: true })
    area.select()
    const isCopied = document.execCommand("copy")
    area.remove()
    if (held instanceof HTMLElement) held.focus({ preventScroll: true })
    if (!isCopied) throw new DOMException("The browser has not copied it.", "NotAllowedError")
}
