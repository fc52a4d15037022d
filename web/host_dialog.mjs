/** The host's dialog frame and its Markdown: the backdrop, the focus trap and the key block are the host's. */

import { app } from "../../scripts/app.js"

/**
 * Shows an element as a dialog of the host. It closes only by the function that is given back.
 *
 * @param {string} name part of the dialog's key; a dialog of the same name is not shown twice
 * @param {HTMLElement} element
 * @param {string} labelledby id of the element that names the dialog
 * @param {() => void} onShown
 * @returns {() => void} closes it
 */
export function showDialog(name, element, labelledby, onShown) {
    const shown = app.extensionManager.dialog.showExtensionDialog({
        // The host closes only dialogs whose key begins so.
        key: `extension-lora-deck-${name}`,
        component: {
            render: () => null,
            /** @this {any} */
            mounted() {
                this.$el.parentNode.append(element)
                const frame = element.closest("[role=dialog]")
                frame?.setAttribute("aria-labelledby", labelledby)
                frame?.removeAttribute("aria-label")
                // The host's focus trap forgets an element that had the focus before the trap itself took it once.
                let told = false
                const tell = () => {
                    if (!told) onShown()
                    told = true
                }
                frame?.addEventListener("focusin", () => requestAnimationFrame(tell), { once: true })
                setTimeout(tell, 300)
            },
            unmounted: () => element.remove(),
        },
        dialogComponentProps: { headless: true, size: "xl", contentClass: "ld-frame", closable: false, dismissableMask: false, closeOnEscape: false },
    })
    return () => shown.closeDialog()
}

/** Tags that a description may use; everything else of it is shown as the text that it holds. */
const KEPT = new Set("A B BLOCKQUOTE BR CODE DEL EM H1 H2 H3 H4 H5 H6 HR I LI OL P PRE S STRONG SUB SUP TABLE TBODY TD TH THEAD TR U UL".split(" "))

/**
 * Markdown as nodes: by the host's renderer, then without anything that could load, run or look like more than text.
 *
 * @param {string} text
 * @returns {Node[]}
 */
export function markdown(text) {
    const html = app.extensionManager.renderMarkdownToHtml?.(text)
    if (html === undefined) return [document.createTextNode(text)]
    return clean(new DOMParser().parseFromString(html, "text/html").body)
}

/** @param {Element} from @returns {Node[]} */
function clean(from) {
    return [...from.childNodes].flatMap(node => {
        if (node instanceof Text) return [document.createTextNode(node.data)]
        if (!(node instanceof Element)) return []
        if (["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "OBJECT"].includes(node.tagName)) return []
        const source = node.tagName === "IMG" ? node.getAttribute("src") : node.getAttribute("href")
        const web = /^https?:\/\//i.test(source ?? "")
        // A picture would be fetched from a stranger's server as soon as the card is opened.
        if (node.tagName === "IMG") return web ? [link(String(source), [document.createTextNode(node.getAttribute("alt") || String(source))])] : []
        const inside = clean(node)
        if (!KEPT.has(node.tagName) || (node.tagName === "A" && !web)) return inside
        if (node.tagName === "A") return [link(String(source), inside)]
        const element = document.createElement(node.tagName)
        element.append(...inside)
        return [element]
    })
}

/** @param {string} address @param {Node[]} inside */
function link(address, inside) {
    const element = document.createElement("a")
    Object.assign(element, { href: address, target: "_blank", rel: "noopener noreferrer" })
    element.append(...inside)
    return element
}
