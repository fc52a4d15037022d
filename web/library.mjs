/**
 * The library over the pack's HTTP API: one call for each thing that can be asked, and a list of cards that holds only
 * the pages somebody looked at.
 *
 * @typedef {{part: string, code: string, reason: string}} Problem
 * @typedef {object} Card
 * @property {number} id
 * @property {string} name path below the LoRA folder
 * @property {string} folder
 * @property {string} insert the shortest spelling that stands for exactly this file
 * @property {number} size
 * @property {"present"|"away"|"missing"} state
 * @property {boolean} reading
 * @property {string|null} autov2
 * @property {boolean} favourite
 * @property {number} uses
 * @property {string|null} architecture
 * @property {string} family
 * @property {[number, number]|null} ranks
 * @property {string[]} aliases
 * @property {boolean} adult
 * @property {string} preview_kind
 * @property {string} preview_version
 * @property {Problem[]} problems
 * @property {Record<string, any>} fields
 *
 * @typedef {object} Details what is read from disk when a card is opened
 * @property {string|null} autov3
 * @property {number} added seconds since 1970
 * @property {number} modified seconds since 1970
 * @property {string} path
 * @property {{name: string, version: string, saved: string[]}} sidecar
 * @property {any} hashes
 * @property {[string, number][]} training_tags most frequent first
 * @property {[string, number][]} resolutions
 * @property {Record<string, string>} training
 * @property {number} tensors
 *
 * @typedef {Card & Details} FullCard
 */

import { address, request } from "./host.mjs?v=0.1.0"

const PAGE = 100
const KEPT_PAGES = 60

/** The server refused, or did not answer (`status` 0). */
export class LibraryError extends Error {
    /** @param {number} status @param {any} body */
    constructor(status, body) {
        super(body?.error ?? `HTTP ${status}`)
        this.status = status
        this.body = body
    }
}

/**
 * @param {string} path below `/lora-deck/`
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(path, options) {
    let answer
    try {
        answer = await request(`/lora-deck/${path}`, options)
    } catch (error) {
        if (error instanceof DOMException && error.name === "AbortError") throw error
        throw new LibraryError(0, null)
    }
    let body = null
    try {
        body = await answer.json()
    } catch {
        // A proxy's page for a host that is down is no JSON.
        if (answer.ok || answer.status >= 502) throw new LibraryError(0, null)
    }
    if (!answer.ok) throw new LibraryError(answer.status >= 502 ? 0 : answer.status, body)
    return body
}

/** @param {string} path @param {object} body */
const tell = (path, body) =>
    ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })

/**
 * @param {Record<string, any>} values lists are repeated, empty values left out
 * @returns {string}
 */
export function queryString(values) {
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(values)) {
        if (Array.isArray(value)) {
            if (key === "ids") query.set(key, value.join(","))
            else for (const item of value) query.append(key, item)
        } else if (value !== false && value !== "" && value != null) query.set(key, String(value))
    }
    return String(query)
}

/** @param {Record<string, any>} query @param {number} offset @param {number} limit @param {AbortSignal} [signal] */
export const page = (query, offset, limit, signal) => ask(`loras?${queryString({ ...query, offset, limit })}`, { signal })
/** @param {Record<string, any>} query @param {AbortSignal} [signal] */
export const counts = (query, signal) => ask(`loras/counts?${queryString(query)}`, { signal })
/** @param {Record<string, any>} query @returns {Promise<{ids: number[]}>} */
export const ids = query => ask(`loras/ids?${queryString(query)}`)
/** @param {number} id @returns {Promise<FullCard>} */
export const fullCard = id => ask(`loras/${id}`)
/** @param {string} name @returns {Promise<{card: Card}>} */
export const resolve = name => ask(`resolve?${queryString({ name })}`)
/** @param {string} name */
export const architecture = name => ask(`architecture?${queryString({ name })}`)
/** @param {string} text @param {string[]} ids @returns {Promise<{blocks: Record<string, number>}>} what block weights mean */
export const readBlocks = (text, ids) => tell("blocks/read", { text, ids })
/** @param {string[]} ids @returns {Promise<{built_in: string[], own: string[]}>} presets for a model */
export const blockNames = ids => tell("blocks/names", { ids })
/** @param {string} name @param {string} [text] without it the preset is deleted */
export const putPreset = (name, text) => tell("blocks/preset", { name, ...(text === undefined ? {} : { text }) })
/** @param {string} name of a checkpoint @returns {Promise<{ids: string[]}>} */
export const blocksOf = name => ask(`blocks/layout?${queryString({ name })}`)
export const status = () => ask("status")
export const refresh = () => tell("refresh", {})
/** @param {number[]} ids @param {boolean} favourite */
export const setFavourite = (ids, favourite) => tell("favourite", { ids, favourite })
/** @param {"start"|"cancel"} action */
export const hashing = action => tell("hash", { action })
/**
 * @typedef {object} NamedLora what a lock and the graph say of one name
 * @property {string} name
 * @property {string} path where it lay on the machine that made the workflow
 * @property {string|null} autov2
 * @property {string|null} autov3
 * @property {number|null} size
 * @property {string|null} base_model
 * @property {string} weights
 * @property {string|null} file what is used for it here
 * @property {{id: number, name: string}|null} own what the name means here by itself
 * @property {string} closest
 * @property {{graph: string, node: string, type: string, title: string, kind: "tag"|"row"|"name"}[]} used_by
 *
 * @typedef {object} Relinked
 * @property {boolean} locked
 * @property {number} total
 * @property {string[]} problems
 * @property {{graph: string, node: string, index: number|string, value: any}[]} changes
 * @property {NamedLora[]} found
 * @property {NamedLora[]} missing
 * @property {NamedLora[]} differing
 *
 * @param {{workflow: any, choices?: Record<string, number>}} asked
 * @returns {Promise<Relinked>}
 */
export const relink = asked => tell("relink", asked)
/**
 * @param {{prompt: any, names: string[], lock: string, hash: boolean, other_content: "warn"|"error"}} asked
 * @returns {Promise<{locks: Record<string, string>, lock: string, problems: Record<string, string>}>}
 */
export const fillLocks = asked => tell("locks", asked)
/** @param {number[]} ids */
export const hashFiles = ids => tell("hash", { action: "start", ids })
/** @param {number} id @returns {Promise<{metadata: Record<string, string>, tensors: Record<string, number[]>}>} */
export const fileHeader = id => ask(`loras/${id}/header`)
/** @param {number} id @param {string} version of the sidecar when it was read @param {Record<string, any>} fields @returns {Promise<{saved: string, version: string, card: FullCard}>} */
export const saveCard = (id, version, fields) => tell(`loras/${id}/edit`, { version, fields })
/** @param {number} id @param {{data: string}|{image: any}} what @param {boolean} replace @returns {Promise<{saved: string, card: FullCard}>} */
export const sendPreview = (id, what, replace) => tell(`loras/${id}/preview`, { ...what, replace })
/** @param {boolean} detailed */
export const setLogging = detailed => tell("logging", { detailed })
/** @param {number} id @param {{filename: string, subfolder: string, type: string}} image @param {boolean} replace */
export const usePreview = (id, image, replace) => tell(`loras/${id}/preview`, { image, replace })

/**
 * @typedef {object} ReadPicture what a picture's infotext says, and what that means here
 * @property {string} text
 * @property {boolean} workflow whether the picture carries a ComfyUI workflow
 * @property {string} note
 * @property {string} program whose own format it is instead
 * @property {string} prompt with tags under the names that hold here
 * @property {string} negative
 * @property {Record<string, any>} fields
 * @property {{name: string|null, model?: string, written: string|null, te: number|null, unet: number|null, found: "hash"|"name"|"missing", note: string}[]} loras
 * @property {boolean} repeats
 * @property {boolean} hires_weights
 * @property {number|null} steps
 * @property {number|null} cfg
 * @property {number|null} seed
 * @property {[number, number]|null} size
 * @property {string|null} sampler
 * @property {string|null} scheduler
 * @property {string|null} model
 *
 * @param {File} file
 * @param {{samplers: string[], schedulers: string[], models: string[]}} choices what the combos offer
 * @returns {Promise<ReadPicture>}
 */
export const readInfotext = async (file, choices) => tell("infotext", { picture: await base64(file), ...choices })

/** @param {Blob} file @returns {Promise<string>} */
const base64 = file =>
    new Promise((done, failed) => {
        const reader = new FileReader()
        reader.onload = () => done(String(reader.result).replace(/^[^,]*,/, ""))
        reader.onerror = () => failed(new LibraryError(0, { error: String(reader.error?.message) }))
        reader.readAsDataURL(file)
    })

/** @param {Card} card @param {number} side */
export const thumbnail = (card, side) => address(`/lora-deck/loras/${card.id}/thumbnail?side=${side}&v=${card.preview_version}`)
/** @param {Card} card */
export const preview = card => address(`/lora-deck/loras/${card.id}/preview?v=${card.preview_version}`)

/** Cards by position. Tells of changes through `onChange`; what is not here yet is `undefined`. */
export class CardList {
    /** @param {() => void} onChange @param {(error: LibraryError|null) => void} onError */
    constructor(onChange, onError) {
        this.onChange = onChange
        this.onError = onError
        /** @type {Record<string, any>} */ this.query = {}
        this.total = 0
        /** Whether the total is known for the query. */
        this.known = false
        /** @type {Map<number, Card[]>} page number → cards */ this.pages = new Map()
        /** @type {Map<number, Card[]>} what stood there before a renewal */ this.stale = new Map()
        /** @type {Map<number, AbortController>} */ this.running = new Map()
        this.version = 0
        this.shownVersion = 0
        this.kept = false
    }

    /** Shows another list; the old one stays until the first page of the new one is there. @param {Record<string, any>} query */
    show(query) {
        this.query = query
        this.kept = false
        this.again(0)
    }

    /** Asks again for what is looked at. @param {number} [from] index that is looked at */
    renew(from = 0) {
        this.kept = true
        this.again(from)
    }

    /** @param {number} from */
    again(from) {
        this.version++
        for (const running of this.running.values()) running.abort()
        this.running.clear()
        this.fetch(Math.floor(from / PAGE))
    }

    /** @param {number} index @returns {Card|undefined} */
    at(index) {
        const number = Math.floor(index / PAGE)
        return (this.pages.get(number) ?? this.stale.get(number))?.[index % PAGE]
    }

    /** Fetches what is missing of the cards from `from` to before `to`. @param {number} from @param {number} to */
    need(from, to) {
        const last = Math.floor((Math.min(to, this.total) - 1) / PAGE)
        for (let number = Math.max(0, Math.floor(from / PAGE)); number <= last; number++) {
            const kept = this.pages.get(number)
            if (kept) {
                this.pages.delete(number)
                this.pages.set(number, kept)
            } else this.fetch(number)
        }
        if (this.shownVersion !== this.version) return
        for (const [number, running] of this.running) {
            if (number < Math.floor(from / PAGE) || number > last) {
                running.abort()
                this.running.delete(number)
            }
        }
    }

    /** @param {number} number */
    async fetch(number) {
        if (this.running.has(number)) return
        const abort = new AbortController()
        this.running.set(number, abort)
        const version = this.version
        try {
            const answer = await page(this.query, number * PAGE, PAGE, abort.signal)
            if (version !== this.version) return
            if (this.shownVersion !== version) {
                this.stale = this.kept ? this.pages : new Map()
                this.pages = new Map()
                this.shownVersion = version
            }
            this.total = answer.total
            this.known = true
            this.pages.set(number, answer.items)
            for (const old of this.pages.keys()) {
                if (this.pages.size <= KEPT_PAGES) break
                this.pages.delete(old)
            }
            this.onError(null)
            this.onChange()
        } catch (error) {
            if (error instanceof LibraryError) {
                if (version === this.version) this.onError(error)
            } else if (!(error instanceof DOMException)) throw error
        } finally {
            if (this.running.get(number) === abort) this.running.delete(number)
        }
    }

    /** All cards that are here. @returns {Iterable<Card>} */
    *here() {
        for (const cards of this.pages.values()) yield* cards
    }
}
