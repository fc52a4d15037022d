"""Colours as the page shows them: what lies under a text, and how well it is read there."""

from __future__ import annotations

from playwright.sync_api import Page

# Whatever CSS can say is painted on one pixel and read back.
TOOLS = """
const paint = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true })
const rgba = colour => {
    paint.clearRect(0, 0, 1, 1)
    paint.fillStyle = colour
    paint.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
}
const over = ([r, g, b, a], under) => [[r, g, b].map((v, i) => v * a + under[i] * (1 - a)), 1].flat()
function ground(element) {
    const layers = []
    for (let each = element; each && layers.at(-1)?.[3] !== 1; each = each.parentElement) {
        layers.push(rgba(getComputedStyle(each).backgroundColor))
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1])
}
const luminance = colour => colour.slice(0, 3).map(v => v / 255)
    .map(v => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0)
"""
GROUND = (
    "selector => {"
    + TOOLS
    + """
    return ground(document.querySelector(selector)).slice(0, 3).map(Math.round)
}"""
)
CONTRASTS = (
    "selector => {"
    + TOOLS
    + """
    const found = []
    for (const root of document.querySelectorAll(selector)) {
        const fields = [...root.querySelectorAll("input")].map(field => [field, field.value])
        const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
        while (walk.nextNode()) fields.push([walk.currentNode.parentElement, walk.currentNode.textContent])
        for (const [element, text] of fields) {
            // A picture's ground is no colour.
            if (!text.trim() || !element.checkVisibility() || element.closest(".ld-vh, .ld-pic")) continue
            const style = getComputedStyle(element)
            const under = ground(element)
            const ink = over(rgba(element instanceof SVGElement ? style.fill : style.color), under)
            const [dark, light] = [luminance(ink), luminance(under)].sort((a, b) => a - b)
            found.push([text.trim(), (light + .05) / (dark + .05)])
        }
    }
    return found
}"""
)


def ground(page: Page, selector: str) -> tuple[int, int, int]:
    """The colour behind an element: red, green, blue of 0 to 255."""
    red, green, blue = page.evaluate(GROUND, selector)
    return red, green, blue


def contrasts(page: Page, selector: str) -> list[tuple[str, float]]:
    """Every visible text below the elements, with its contrast to its ground as WCAG 2 computes it, 1 to 21."""
    return [(text, ratio) for text, ratio in page.evaluate(CONTRASTS, selector)]
