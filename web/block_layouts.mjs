/**
 * The blocks of the models that Apply nodes were last run with, as the server reports them.
 *
 * @typedef {{architecture: string|null, ids: string[]}} BlockLayout
 */

/** @type {Map<string, BlockLayout>} */
const layouts = new Map()

/** @param {{node: string, architecture: string|null, ids: string[]}} report */
export function noteBlockLayout({ node, architecture, ids }) {
    layouts.set(String(node), { architecture, ids })
}

/**
 * The layout that an Apply node reported in this page's life, undefined before its first run.
 *
 * @param {string|number} node the node's id in the prompt
 */
export function blockLayoutOf(node) {
    return layouts.get(String(node))
}
