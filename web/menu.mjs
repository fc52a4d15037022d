/**
 * A menu at a place: keyboard, focus and dismissal as menus have them.
 *
 * @typedef {object} Item
 * @property {string} text
 * @property {import("./dom.mjs").IconName|""} [icon]
 * @property {string} [key] shown at the right
 * @property {() => void} run
 * @property {"radio"|"check"} [kind]
 * @property {boolean} [on] of a radio or check
 */

import { h, icon } from "./dom.mjs?v=0.1.0"

/** @type {(() => void)|null} */ let closeOpen = null

/** Closes the open menu, if one is. */
export const closeMenu = () => closeOpen?.()

/**
 * @param {string} label
 * @param {(Item|string|null)[]} items a string is a heading, `null` a line
 * @param {{x: number, y: number}|HTMLElement} at a place in the window, or a button to hang below
 */
export function openMenu(label, items, at) {
    closeMenu()
    const before = document.activeElement
    const button = at instanceof HTMLElement ? at : null
    const menu = h("div.ld.ld-pop.ld-menu.ld-menu--at", { role: "menu", "aria-label": label, tabindex: -1 },
        items.map(item => (item === null ? h("div", { role: "separator" })
            : typeof item === "string" ? h("div.ld-menu__t", { role: "presentation" }, item) : line(item))))
    const close = () => {
        closeOpen = null
        document.removeEventListener("pointerdown", outside, true)
        button?.setAttribute("aria-expanded", "false")
        const held = menu.contains(document.activeElement)
        menu.remove()
        if (held && before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true })
    }
    /** @param {Item} item */
    function line(item) {
        return h("button", {
            type: "button", tabindex: -1, role: item.kind === "radio" ? "menuitemradio" : item.kind === "check" ? "menuitemcheckbox" : "menuitem",
            "aria-checked": item.kind ? String(Boolean(item.on)) : null,
            onClick: () => {
                close()
                item.run()
            },
        }, item.icon ? icon(item.icon) : h("span", { style: { width: "16px" } }), h("span.ld-grow", null, item.text),
        item.on && icon("check"), item.key && h("kbd", null, item.key))
    }
    const outside = (/** @type {Event} */ event) => {
        if (!menu.contains(/** @type {Node} */ (event.target))) close()
    }
    menu.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        event.stopPropagation()
        const all = [...menu.querySelectorAll("[role^=menuitem]")]
        const now = all.indexOf(/** @type {Element} */ (document.activeElement))
        const to = { ArrowDown: now + 1, ArrowUp: now < 0 ? all.length - 1 : now - 1, Home: 0, End: all.length - 1 }[event.key]
        if (to !== undefined) /** @type {HTMLElement} */ (all[(to + all.length) % all.length]).focus()
        else if (event.key === "Escape" || event.key === "Tab") close()
        else if (event.key.length === 1 && event.key !== " ") {
            const letter = event.key.toLocaleLowerCase()
            const next = [...all.slice(now + 1), ...all].find(e => e.textContent?.toLocaleLowerCase().startsWith(letter))
            if (next) /** @type {HTMLElement} */ (next).focus()
        } else return
        event.preventDefault()
    })
    menu.addEventListener("contextmenu", (/** @type {Event} */ event) => event.preventDefault())
    document.body.append(menu)
    const box = menu.getBoundingClientRect()
    const hung = button?.getBoundingClientRect()
    // Under its button's right end; where it would leave the panel at the left, under the left one.
    const edge = button?.closest(".ld-deck")?.getBoundingClientRect().left ?? 8
    const { x, y } = hung ? { x: hung.right - box.width < edge ? hung.left : hung.right - box.width, y: hung.bottom + 4 } : /** @type {{x: number, y: number}} */ (at)
    menu.style.left = `${Math.max(8, Math.min(x, innerWidth - box.width - 8))}px`
    menu.style.top = `${Math.max(8, Math.min(y, innerHeight - box.height - 8))}px`
    document.addEventListener("pointerdown", outside, true)
    button?.setAttribute("aria-expanded", "true")
    closeOpen = close
    const [first] = menu.querySelectorAll("[role^=menuitem]")
    first?.focus({ preventScroll: true })
    return close
}
