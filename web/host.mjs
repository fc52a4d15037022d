/**
 * Every touch of the host's front end. What is used here was checked in front ends 1.47.12 and 1.58.1; the rest of
 * `web/` knows no `app` and no `api`.
 */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

/**
 * @param {object} extension hooks and contributions, as `app.registerExtension` takes them
 */
export function registerExtension(extension) {
    app.registerExtension(extension)
}

/**
 * Calls `handler` with the detail of an event that the server sends over the websocket.
 *
 * @param {string} name
 * @param {(detail: any) => void} handler
 */
export function onServerEvent(name, handler) {
    api.addEventListener(name, (/** @type {CustomEvent} */ event) => handler(event.detail))
}

/**
 * Gives link types a colour. Loading a palette blanks every type that the host does not know, in two maps and in
 * inline CSS variables; so the maps get properties that ignore a blank, and the variables stand in a stylesheet.
 *
 * @param {Record<string, string>} colours link type → CSS colour
 */
export function colourLinks(colours) {
    const style = document.createElement("style")
    const rules = Object.entries(colours).map(([type, colour]) => `--color-datatype-${type}: ${colour};`)
    style.textContent = `:root { ${rules.join(" ")} }`
    document.head.append(style)
    const canvas = window.LGraphCanvas
    for (const map of [canvas?.link_type_colors, app.canvas?.default_connection_color_byType]) {
        if (!map) continue
        for (const [type, colour] of Object.entries(colours)) {
            let current = colour
            Object.defineProperty(map, type, {
                configurable: true,
                enumerable: true,
                get: () => current,
                set: value => {
                    current = value || colour
                },
            })
        }
    }
}
