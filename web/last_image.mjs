/** The picture that the graph made last, as the host names it. */

import { onEvent } from "./host.mjs?v=0.1.0"

/** @typedef {{filename: string, subfolder: string, type: string}} Image */

/** @type {Image|null} */ let last = null

/** Begins to watch what is made. Called once. */
export function watchImages() {
    onEvent("executed", detail => {
        const image = detail?.output?.images?.at(-1)
        if (image?.filename) last = { filename: image.filename, subfolder: image.subfolder ?? "", type: image.type ?? "output" }
    })
}

export const lastImage = () => last
