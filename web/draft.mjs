/** What is typed in the dialog, beside what is saved. Pure. */

/** @typedef {Record<string, any>} Values field key → text, number or list of texts */

/** @param {any} a @param {any} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

export class Draft {
    /** @param {Values} saved */
    constructor(saved) {
        this.saved = { ...saved }
        this.now = { ...saved }
    }

    /** @param {string} key @param {any} value */
    set(key, value) {
        this.now[key] = value
    }

    /** @returns {string[]} keys whose values differ from what is saved */
    get changed() {
        return Object.keys(this.now).filter(key => !same(this.now[key], this.saved[key]))
    }

    /** @returns {Values} only what differs */
    get changes() {
        return Object.fromEntries(this.changed.map(key => [key, this.now[key]]))
    }

    /**
     * Takes what is on disk as saved; what was typed stays.
     *
     * @param {Values} saved
     */
    rebase(saved) {
        const typed = this.changes
        this.saved = { ...saved }
        this.now = { ...saved, ...typed }
    }
}

/**
 * The field keys in which an edit and the disk disagree.
 *
 * @param {Values} yours
 * @param {Values} theirs
 * @returns {string[]}
 */
export const disagreeing = (yours, theirs) => Object.keys(yours).filter(key => !same(yours[key], theirs[key]))
