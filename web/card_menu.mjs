/**
 * The menu of one card or several, and what its entries do.
 *
 * @typedef {import("./library.mjs").Card} Card
 * @typedef {import("./gestures.mjs").Gestures} Gestures
 */

import { canAdd } from "./add_node.mjs?v=0.1.0"
import { fault, titleOf } from "./card.mjs?v=0.1.0"
import { copyAndSay } from "./clipboard.mjs?v=0.1.0"
import { toast } from "./host.mjs?v=0.1.0"
import { tagFor } from "./insert.mjs?v=0.1.0"
import { lastImage } from "./last_image.mjs?v=0.1.0"
import { LibraryError, fullCard, setFavourite, usePreview } from "./library.mjs?v=0.1.0"
import { openMenu } from "./menu.mjs?v=0.1.0"
import { update } from "./store.mjs?v=0.1.0"
import { count, t } from "./words.mjs?v=0.1.0"

/**
 * @param {Gestures} gestures
 * @param {Card[]} cards
 * @param {{x: number, y: number}|HTMLElement} at
 */
export function openCardMenu(gestures, cards, at) {
    const [card] = cards
    const single = cards.length === 1
    const there = cards.every(each => gestures.deck.marks.has(each.id))
    const liked = cards.every(each => each.favourite)
    const can = cards.some(each => !fault(each) && each.state === "present")
    const image = single ? lastImage() : null
    openMenu(t("menu.label", { name: single ? titleOf(card.name) : count("notice.cards", cards.length) }), [
        ...(can ? [{ text: t(there ? "menu.take_out" : "menu.insert"), icon: /** @type {const} */ ("text"), key: "Enter", run: () => void gestures.act(cards) },
            ...(canAdd() ? [{ text: t("menu.add_node"), icon: /** @type {const} */ ("node"), key: "Alt Enter", run: () => void gestures.add(cards, "new") }] : []), null] : []),
        { text: single ? t("menu.edit") : t("menu.edit_many", { count: cards.length }), icon: "edit", key: "F2", run: () => gestures.edit(cards) },
        { text: t(liked ? "menu.unfavourite" : "menu.favourite"), icon: "star", run: () => gestures.told(setFavourite(cards.map(c => c.id), !liked)) },
        ...(image ? [{ text: t("menu.preview"), icon: /** @type {const} */ ("image"), run: () => void setPreview(gestures, card, image) }] : []),
        null,
        { text: t("menu.copy_tag"), icon: "copy", key: "Ctrl C", run: () => void copyTags(gestures, cards) },
        ...(single ? [{ text: t("menu.copy_hash"), icon: /** @type {const} */ ("hash"), run: () => void copyHash(gestures, card) },
            { text: t("menu.in_tree"), icon: /** @type {const} */ ("tree"), run: () => update({ folder: card.folder, tree: true, text: "" }) }, null,
            { text: t("menu.select"), icon: /** @type {const} */ ("check"), key: t("menu.space"), run: () => gestures.pick(card, gestures.deck.grid.focus) }] : []),
    ], at)
}

/** @param {Gestures} gestures @param {Card[]} cards */
export async function copyTags(gestures, cards) {
    gestures.deck.foot.notice([await copyAndSay((await Promise.all(cards.map(tagFor))).join(" "))], false)
}

/** @param {Gestures} gestures @param {Card} card */
async function copyHash(gestures, card) {
    const found = await gestures.told(fullCard(card.id))
    const hash = found?.hashes?.sha256 ?? found?.autov2
    if (!found) return
    gestures.deck.foot.notice([hash ? await copyAndSay(hash) : t("notice.no_hash")], false)
}

/** @param {Gestures} gestures @param {Card} card @param {{filename: string, subfolder: string, type: string}} image */
async function setPreview(gestures, card, image) {
    try {
        await usePreview(card.id, image, false)
    } catch (error) {
        if (!(error instanceof LibraryError)) throw error
        if (error.status !== 409) return toast("error", t("notice.failed"), error.message)
        const { left, top } = gestures.deck.grid.element.getBoundingClientRect()
        openMenu(t("menu.replace", { name: error.body.exists }), [t("menu.replace", { name: error.body.exists }),
            { text: t("menu.replace_yes"), icon: "image", run: () => void gestures.told(usePreview(card.id, image, true)) },
            { text: t("menu.replace_no"), icon: "x", run: () => undefined }], { x: left + 12, y: top + 12 })
    }
}
