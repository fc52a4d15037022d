/**
 * Every touch of the host's front end, its graphs in `host_graph.mjs`. What is used here was checked in front ends 1.47.12
 * and 1.58.1; the rest of `web/` knows no `app` and no `api`. Nodes and graphs are handed out as they are, but read
 * through these modules.
 *
 * @typedef {import("./host_graph.mjs").Graph} Graph
 * @typedef {import("./host_graph.mjs").Node} Node
 * @typedef {import("./host_graph.mjs").Widget} Widget
 * @typedef {import("./host_graph.mjs").Socket} Socket
 */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { allGraphs, nodesOf } from "./host_graph.mjs?v=0.1.0"

export * from "./host_graph.mjs?v=0.1.0"

/**
 * @param {object} extension hooks and contributions, as `app.registerExtension` takes them
 */
export function registerExtension(extension) {
    app.registerExtension(extension)
}

/**
 * Calls `handler` with the detail of an event that the server or the graph sends.
 *
 * @param {string} name
 * @param {(detail: any) => void} handler
 * @returns {() => void} ends it
 */
export function onEvent(name, handler) {
    const listener = (/** @type {CustomEvent} */ event) => handler(event.detail)
    api.addEventListener(name, listener)
    return () => api.removeEventListener(name, listener)
}

/**
 * @param {string} path below the server's root
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export const request = (path, options) => api.fetchApi(path, options)

/** @param {string} path @returns {string} what an `img` may load */
export const address = path => api.apiURL(path)

/** @param {string} id */
export const setting = id => app.extensionManager.setting.get(id)

/** @param {string} id @param {any} value */
export const setSetting = (id, value) => app.extensionManager.setting.set(id, value)

export const locale = () => String(setting("Comfy.Locale") || "en")

/** @param {"success"|"info"|"warn"|"error"} severity @param {string} summary @param {string} [detail] */
export function toast(severity, summary, detail) {
    app.extensionManager.toast.add({ severity, summary, detail, life: 5000 })
}

/**
 * A tab of the host's sidebar. The host calls `render` with a detached element without height, hands the same element
 * to other tabs, and calls `destroy` only sometimes: so the root leaves by itself when another tab becomes active.
 *
 * @param {{id: string, title: string, tooltip: string, icon: string}} tab
 * @param {() => HTMLElement} makeRoot
 */
export function registerSidebarTab(tab, makeRoot) {
    const { extensionManager } = app
    /** @type {HTMLElement|null} */ let root = null
    const leave = () => {
        root?.remove()
        root = null
    }
    extensionManager.registerSidebarTab({
        ...tab,
        type: "custom",
        render(/** @type {HTMLElement} */ element) {
            leave()
            root = makeRoot()
            element.style.height = "100%"
            element.replaceChildren(root)
        },
        destroy: leave,
    })
    extensionManager.sidebarTab.$subscribe(
        (/** @type {any} */ _, /** @type {any} */ state) => {
            if (state.activeSidebarTabId !== tab.id) leave()
        },
        { flush: "sync" },
    )
}

/** @param {string} id */
export function toggleSidebarTab(id) {
    app.extensionManager.sidebarTab.toggleSidebarTab(id)
}

/**
 * Whether the host's own tabs have a button that closes them: those do that are drawn without PrimeVue, whose variables
 * are then missing.
 */
export const tabsCanClose = () => !getComputedStyle(document.documentElement).getPropertyValue("--p-primary-color")

/** Lets the host ask anew which values its nodes' combos have, as its key R does. What is chosen in them stays. */
export const refreshCombos = async () => (app.reloadNodeDefs ? app.reloadNodeDefs() : app.refreshComboInNodes?.())

const tracker = () => app.extensionManager.workflow?.activeWorkflow?.changeTracker ?? null

/** Takes what was changed so far into the undo history. */
function capture() {
    const changes = tracker()
    if (changes?.captureCanvasState) changes.captureCanvasState()
    else changes?.checkState?.()
}

/**
 * Runs `change` as one step of the host's undo history.
 *
 * @template T
 * @param {() => T} change
 * @returns {T}
 */
export function asOneStep(change) {
    const end = beginStep()
    try {
        return change()
    } finally {
        end()
    }
}

/**
 * As `asOneStep`, for a change that adds nodes. Where nodes are drawn as elements, their sizes are known some frames
 * later; the step ends then, for otherwise the sizes would become a step of their own.
 *
 * @template T
 * @param {() => T} change
 * @returns {Promise<T>}
 */
export async function asOneStepOfNodes(change) {
    const end = beginStep()
    try {
        const made = change()
        app.canvas?.setDirty(true, true)
        await settled()
        return made
    } finally {
        end()
    }
}

/** @returns {() => void} ends the step */
function beginStep() {
    capture()
    const changes = tracker()
    changes?.beforeChange()
    return () => {
        // The history compares the order of execution, too, and undo works it out anew.
        for (const graph of allGraphs()) graph.updateExecutionOrder?.()
        changes?.afterChange()
        app.canvas?.setDirty(true, true)
    }
}

/** Waits until no node has changed its size for three frames, a second at most. */
async function settled() {
    const frame = () => new Promise(done => {
        requestAnimationFrame(done)
        setTimeout(done, 100)
    })
    let before = ""
    for (let same = 0, left = 60; same < 3 && left; left--) {
        await frame()
        const now = JSON.stringify(nodesOf(app.canvas.graph).map(node => [...node.size]))
        same = now === before ? same + 1 : 0
        before = now
    }
}

/** Takes back the last step. */
export const undo = () => app.extensionManager.command.execute("Comfy.Undo")

/** How many steps can be taken back; changes whenever a step is added. */
export const undoDepth = () => tracker()?.undoQueue?.length ?? 0

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
