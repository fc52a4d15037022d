/** Nodes for what an infotext says, beside what is there: parser, Apply, sampler, and a second pass where it has one. */

import { APPLY, PARSER } from "./connect.mjs?v=0.1.0"
import { addNode, asOneStep, boxOf, currentGraph, nodesOf, optionsOf, setWidget, showBoxes, textWidgets } from "./host.mjs?v=0.1.0"
import { t } from "./words.mjs?v=0.1.0"

/**
 * @typedef {import("./host.mjs").Node} Node
 * @typedef {import("./library.mjs").ReadPicture} ReadPicture
 */

export const SAVE = "SaveImageInfotext"
const CHECKPOINT = "CheckpointLoaderSimple"
const [WIDE, GAP] = [340, 60]

/** What the host's combos offer. */
export const comboValues = () => ({
    samplers: optionsOf("KSampler", "sampler_name"),
    schedulers: optionsOf("KSampler", "scheduler"),
    models: optionsOf(CHECKPOINT, "ckpt_name"),
})

/** Fills a parser with a picture's prompt, in one undo step. @param {Node} node @param {ReadPicture} read */
export function fillParser(node, read) {
    asOneStep(() => write(node, read))
}

/** @param {Node} node @param {ReadPicture} read */
function write(node, read) {
    setWidget(node, textWidgets(node)[0].name, read.prompt)
    setWidget(node, "weight_order", "a1111")
    setWidget(node, "repeats", read.repeats ? "a1111" : "sum")
}

/**
 * Adds the graph, in one undo step. Nothing that is there is touched.
 *
 * @param {ReadPicture} read
 * @param {[number, number]} place on the canvas, where there is room
 * @returns {string[]} what could not be set, one sentence each
 */
export function buildGraph(read, place) {
    const graph = currentGraph()
    if (!graph) return []
    /** @type {Builder|null} */ let builder = null
    const problems = asOneStep(() => {
        const taken = nodesOf(graph).map(boxOf)
        const right = Math.max(...taken.map(([x, , width]) => x + width), -Infinity)
        const [left, top] = taken.length ? [right + GAP * 2, Math.min(...taken.map(([, y]) => y)) + 30] : place
        builder = new Builder(graph, left, top, read)
        return builder.build()
    })
    showBoxes(/** @type {Builder} */ (/** @type {unknown} */ (builder)).made.map(boxOf))
    return problems
}

class Builder {
    /** @param {import("./host.mjs").Graph} graph @param {number} left @param {number} top @param {ReadPicture} read */
    constructor(graph, left, top, read) {
        this.graph = graph
        this.left = left
        this.top = top
        this.read = read
        /** @type {string[]} */ this.problems = []
        /** @type {Node[]} */ this.made = []
        /** @type {number[]} the free place below the last node, by column */ this.below = []
    }

    /** @param {string} type @param {number} column @param {Record<string, any>} [values] @param {number} [tall] @returns {Node} */
    add(type, column, values = {}, tall = 0) {
        const y = this.below[column] ?? this.top
        const node = addNode(this.graph, type, [this.left + column * (WIDE + GAP), y])
        node.setSize([WIDE, Math.max(node.size[1], tall)])
        this.made.push(node)
        this.below[column] = y + node.size[1] + GAP
        for (const [name, value] of Object.entries(values)) if (value != null) setWidget(node, name, value)
        return node
    }

    build() {
        const { read } = this
        const checkpoint = this.add(CHECKPOINT, 0, { ckpt_name: read.model })
        const parser = this.add(PARSER, 1, {}, 260)
        write(parser, read)
        const [width, height] = read.size ?? [null, null]
        const latent = this.add("EmptyLatentImage", 0, { width, height })
        const clip = this.clipOf(checkpoint)
        const apply = this.applied(parser, checkpoint, clip, "first")
        const positive = this.encoded(parser, apply, null)
        const negative = this.encoded(null, apply, read.negative)
        const sampler = this.sampler(apply, positive, negative, latent, {})
        const last = this.hires(parser, checkpoint, clip, { apply, positive, negative, sampler })
        const decode = this.add("VAEDecode", 5)
        last.connect(0, decode, "samples")
        checkpoint.connect(2, decode, "vae")
        const save = this.add(SAVE, 5)
        decode.connect(0, save, "images")
        this.check()
        return this.problems
    }

    /** @param {Node} checkpoint @returns {[Node, number]} where the text encoder comes from */
    clipOf(checkpoint) {
        const skip = Number(this.read.fields["Clip skip"] ?? 1)
        if (!Number.isInteger(skip) || skip < 2 || skip > 24) return [checkpoint, 1]
        const layers = this.add("CLIPSetLastLayer", 0, { stop_at_clip_layer: -skip })
        checkpoint.connect(1, layers, "clip")
        return [layers, 0]
    }

    /** @param {Node} parser @param {Node} checkpoint @param {[Node, number]} clip @param {"first"|"hires"} pass */
    applied(parser, checkpoint, [encoder, slot], pass) {
        const apply = this.add(APPLY, 2, { sampling_pass: pass })
        parser.connect(1, apply, "stack")
        checkpoint.connect(0, apply, "model")
        encoder.connect(slot, apply, "clip")
        return apply
    }

    /** @param {Node|null} parser that gives the text @param {Node} apply @param {string|null} text */
    encoded(parser, apply, text) {
        const encode = this.add("CLIPTextEncode", 3, { text }, parser ? 0 : 160)
        apply.connect(1, encode, "clip")
        parser?.connect(0, encode, "text")
        return encode
    }

    /** @param {Node} apply @param {Node} positive @param {Node} negative @param {Node} latent @param {Record<string, any>} values */
    sampler(apply, positive, negative, latent, values) {
        const { seed, steps, cfg, sampler, scheduler } = this.read
        const node = this.add("KSampler", 4, { seed, steps, cfg, sampler_name: sampler, scheduler, denoise: 1, control_after_generate: "fixed", ...values })
        apply.connect(0, node, "model")
        positive.connect(0, node, "positive")
        negative.connect(0, node, "negative")
        latent.connect(0, node, "latent_image")
        return node
    }

    /**
     * @param {Node} parser @param {Node} checkpoint @param {[Node, number]} clip
     * @param {{apply: Node, positive: Node, negative: Node, sampler: Node}} first
     * @returns {Node} the last sampler
     */
    hires(parser, checkpoint, clip, { apply, positive, negative, sampler }) {
        const { fields, size, steps } = this.read
        const larger = largerSize(fields, size)
        if (!larger) return sampler
        const own = this.read.hires_weights ? this.applied(parser, checkpoint, clip, "hires") : apply
        const again = this.read.hires_weights ? this.encoded(parser, own, null) : positive
        const latent = this.enlarged(sampler, checkpoint, larger)
        const second = Number(fields["Hires steps"]) || steps
        return this.sampler(own, again, negative, latent, { steps: second, denoise: Number(fields["Denoising strength"]) || 0.5 })
    }

    /** @param {Node} sampler @param {Node} checkpoint @param {[number, number]} size @returns {Node} whose first output is the latent */
    enlarged(sampler, checkpoint, [width, height]) {
        const upscaler = String(this.read.fields["Hires upscaler"] ?? "Latent")
        if (upscaler.startsWith("Latent")) {
            const method = upscaler.includes("bicubic") ? "bicubic" : upscaler.includes("nearest") ? "nearest-exact" : "bilinear"
            const latent = this.add("LatentUpscale", 4, { upscale_method: method, width, height, crop: "disabled" })
            sampler.connect(0, latent, "samples")
            return latent
        }
        if (!["None", "Lanczos"].includes(upscaler)) this.problems.push(t("infotext.upscaler", { name: upscaler }))
        const decode = this.add("VAEDecode", 4)
        const scale = this.add("ImageScale", 4, { upscale_method: "lanczos", width, height, crop: "disabled" })
        const encode = this.add("VAEEncode", 4)
        sampler.connect(0, decode, "samples")
        checkpoint.connect(2, decode, "vae")
        decode.connect(0, scale, "image")
        scale.connect(0, encode, "pixels")
        checkpoint.connect(2, encode, "vae")
        return encode
    }

    /** What the text names and the host has not. */
    check() {
        const { model, sampler, scheduler, fields } = this.read
        const name = (/** @type {string} */ field) => String(fields[field] ?? "")
        if (!model && name("Model")) this.problems.push(t("infotext.no_model", { name: name("Model") }))
        if (!sampler && name("Sampler")) this.problems.push(t("infotext.no_sampler", { name: name("Sampler") }))
        else if (!scheduler && name("Schedule type")) this.problems.push(t("infotext.no_schedule", { name: name("Schedule type") }))
    }
}

/** @param {Record<string, any>} fields @param {[number, number]|null} size @returns {[number, number]|null} of the hires pass */
function largerSize(fields, size) {
    const wanted = /^(\d{1,5})x(\d{1,5})$/.exec(String(fields["Hires resize"] ?? fields["Hires size"] ?? ""))
    const scale = Number(fields["Hires upscale"])
    const given = wanted && Number(wanted[1]) && Number(wanted[2]) ? [Number(wanted[1]), Number(wanted[2])] : null
    const larger = given ?? (size && scale > 1 && scale <= 16 ? size.map(side => side * scale) : null)
    return larger ? [round(larger[0]), round(larger[1])] : null
}

/** @param {number} side */
const round = side => Math.max(8, Math.round(side / 8) * 8)
