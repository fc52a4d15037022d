/** Crumbs and the folder tree. */

import { h, icon } from "./dom.mjs?v=0.1.0"
import { state, update } from "./store.mjs?v=0.1.0"
import { number, t } from "./words.mjs?v=0.1.0"

/** @typedef {{name: string, path: string, count: number, folders: Map<string, Folder>}} Folder `count` with sub-folders */

/** @param {Record<string, number>} counts folder → files right in it @returns {Folder} */
export function folderTree(counts) {
    /** @type {Folder} */ const root = { name: "", path: "", count: 0, folders: new Map() }
    for (const [path, count] of Object.entries(counts)) {
        let at = root
        at.count += count
        for (const name of path.split("/").filter(Boolean)) {
            let next = at.folders.get(name)
            if (!next) at.folders.set(name, (next = { name, path: at.path ? `${at.path}/${name}` : name, count: 0, folders: new Map() }))
            next.count += count
            at = next
        }
    }
    return root
}

/** @param {Folder} root @param {string} path @returns {Folder[]} the folders right below one, by name */
export function foldersIn(root, path) {
    /** @type {Folder|undefined} */ let at = root
    for (const name of path.split("/").filter(Boolean)) at = at?.folders.get(name)
    return at ? byName(at) : []
}

const names = new Intl.Collator(undefined, { numeric: true })

/** @param {Folder} folder */
const byName = folder => [...folder.folders.values()].sort((a, b) => names.compare(a.name, b.name))

/** @param {Folder[]} folders @returns {HTMLElement} a button for each */
export const folderTiles = folders =>
    h("div.ld-dirs", { role: "group", "aria-label": t("folders.here") }, folders.map(({ name, path, count }) =>
        h("button.ld-dir", { type: "button", title: path, onClick: () => update({ folder: path }) },
            icon("folder"), h("span.ld-trunc", null, name), h("span.ld-muted.ld-num", null, number(count)))))

export function crumbs() {
    const parts = state.folder.split("/").filter(Boolean)
    const all = ["", ...parts.map((_, i) => parts.slice(0, i + 1).join("/"))]
    return h("nav.ld-crumbs", { "aria-label": t("folders.crumbs") }, h("ol", null, all.map((path, i) => h("li", null,
        h("button", { type: "button", "aria-current": i === all.length - 1 ? "page" : null, onClick: () => update({ folder: path }) },
            i ? parts[i - 1] : t("folders.all"))))))
}

/** @param {Folder} root @returns {HTMLElement} the tree, a drawer or a column */
export function treeView(root) {
    for (let path = state.folder; path.includes("/"); ) {
        path = path.slice(0, path.lastIndexOf("/"))
        state.open.add(path)
    }
    /** @type {(folder: Folder, depth: number) => HTMLElement[]} */
    const items = (folder, depth) =>
        byName(folder).flatMap(child => {
            const more = child.folders.size > 0
            const open = more && state.open.has(child.path)
            return [item(child, child.name, depth, more ? open : null), ...(open ? items(child, depth + 1) : [])]
        })
    const item = (/** @type {Folder} */ folder, /** @type {string} */ name, /** @type {number} */ depth, /** @type {boolean|null} */ open) => {
        const chosen = state.folder === folder.path
        const arrow = open === null || !folder.path ? h("span", { style: { width: "12px", flex: "none" } })
            : h("span", { style: { flex: "none" }, onClick: (/** @type {Event} */ e) => {
                e.stopPropagation()
                unfold(folder.path, !open)
            } }, icon(open ? "down" : "right", "ld-i--12"))
        return h("div", {
            role: "treeitem", "aria-level": depth + 1, "aria-selected": String(chosen), tabindex: chosen ? 0 : -1, "data-path": folder.path,
            "aria-expanded": open === null ? null : String(open), onClick: () => update({ folder: folder.path }),
        }, h("div.ld-node", { style: { "--d": depth } }, arrow, icon(!folder.path ? "library" : open ? "open" : "folder"),
            h("span", null, name), h("span.ld-count", null, number(folder.count))))
    }
    const tree = h("div.ld-tree.ld-scroll", { role: "tree", "aria-label": t("folders.label"), tabindex: -1, onKeydown: keys },
        item(root, t("folders.everything"), 0, null), items(root, 0))
    if (!tree.querySelector("[tabindex='0']")) tree.querySelector("[role=treeitem]")?.setAttribute("tabindex", "0")
    return tree
}

/** @param {string} path @param {boolean} open */
function unfold(path, open) {
    if (open) state.open.add(path)
    else state.open.delete(path)
    update({ open: state.open })
}

/** @param {KeyboardEvent} event */
function keys(event) {
    const tree = /** @type {HTMLElement} */ (event.currentTarget)
    const all = /** @type {HTMLElement[]} */ ([...tree.querySelectorAll("[role=treeitem]")])
    const now = all.indexOf(/** @type {HTMLElement} */ (document.activeElement))
    const item = all[now]
    if (!item) return
    const path = item.dataset.path ?? ""
    const level = Number(item.ariaLevel)
    const go = (/** @type {HTMLElement|undefined} */ to) => {
        if (!to) return
        item.tabIndex = -1
        to.tabIndex = 0
        to.focus()
    }
    if (event.key === "ArrowDown") go(all[now + 1])
    else if (event.key === "ArrowUp") go(all[now - 1])
    else if (event.key === "Home") go(all[0])
    else if (event.key === "End") go(all.at(-1))
    else if (event.key === "ArrowRight" && item.ariaExpanded === "false") unfold(path, true)
    else if (event.key === "ArrowRight" && item.ariaExpanded === "true") go(all[now + 1])
    else if (event.key === "ArrowLeft" && item.ariaExpanded === "true") unfold(path, false)
    else if (event.key === "ArrowLeft") go(all.slice(0, now).findLast(other => Number(other.ariaLevel) < level))
    else if (event.key === "Enter" || event.key === " ") update({ folder: path })
    else return
    event.preventDefault()
}
