"""A page with the deck in a real front end, and graphs to work on."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from .harness import REPOSITORY, HostServer

SCREENSHOTS = REPOSITORY / ".dev" / "screenshots"
READY = """() => { const em = window.app?.extensionManager;
    return em && em.spinner === false && em.workflow?.activeWorkflow?.changeTracker && app.canvas?.graph }"""
SETTINGS = {
    "Comfy.TutorialCompleted": True, "Comfy.Notification.ShowVersionUpdates": False, "Comfy.Workflow.Persist": False,
    "Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False, "Comfy.ColorPalette": "dark",
    "Comfy.Locale": "en", "LoRADeck.FlyoutDelay": -1, "LoRADeck.Connect": "ask", "LoRADeck.ActivationText": True,
    "LoRADeck.Separator": " ", "LoRADeck.NameInserted": "file", "LoRADeck.FitsCheckpoint": "on",
    "LoRADeck.CardSize": "medium",
}  # fmt: skip
NODES: dict[str, tuple[str, tuple[int, int], tuple[int, int], dict[str, Any]]] = {
    "checkpoint": ("CheckpointLoaderSimple", (420, 120), (300, 120), {"ckpt_name": "lora_deck_demo.safetensors"}),
    "positive": ("CLIPTextEncode", (800, 330), (340, 110), {"text": "a small boat on a quiet lake"}),
    "negative": ("CLIPTextEncode", (800, 500), (340, 110), {"text": "photo"}),
    "latent": ("EmptyLatentImage", (420, 640), (300, 130), {"width": 64, "height": 64}),
    "sampler": ("KSampler", (1180, 100), (300, 290), {"seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler"}),
    "decode": ("VAEDecode", (1180, 450), (220, 60), {}),
    # High enough for a picture: a node that shows one grows.
    "image": ("SaveImage", (1180, 560), (250, 320), {}),
}
LINKS = [
    ("checkpoint", 0, "sampler", "model"), ("checkpoint", 1, "positive", "clip"),
    ("checkpoint", 1, "negative", "clip"), ("positive", 0, "sampler", "positive"),
    ("negative", 0, "sampler", "negative"), ("latent", 0, "sampler", "latent_image"),
    ("sampler", 0, "decode", "samples"), ("checkpoint", 2, "decode", "vae"), ("decode", 0, "image", "images"),
]  # fmt: skip
PARSED_NODES = {
    **NODES,
    "positive": ("CLIPTextEncode", (1180, 900), (340, 110), {"text": ""}),
    "parser": ("PromptLoraParser", (760, 300), (380, 160), {"text": "a small boat on a quiet lake"}),
    "apply": ("LoraStackApply", (760, 60), (300, 140), {}),
}
PARSED_LINKS = [
    ("checkpoint", 0, "apply", "model"), ("checkpoint", 1, "apply", "clip"), ("parser", 1, "apply", "stack"),
    ("parser", 0, "positive", "text"), ("apply", 1, "positive", "clip"), ("apply", 1, "negative", "clip"),
    ("apply", 0, "sampler", "model"), *LINKS[3:],
]  # fmt: skip
BUILD = """async ([nodes, links]) => {
    app.graph.clear()
    const made = {}
    for (const [id, [type, pos, size, values]] of Object.entries(nodes)) {
        const node = LiteGraph.createNode(type)
        node.title = id
        app.canvas.graph.add(node)
        node.pos = pos
        node.setSize(size)
        for (const [name, value] of Object.entries(values)) {
            const widget = node.widgets.find(w => w.name === name)
            widget.value = value
            widget.callback?.(value)
        }
        const fixed = node.widgets?.find(w => w.name === "control_after_generate")
        if (fixed) fixed.value = "fixed"
        made[id] = node
    }
    for (const [from, slot, to, input] of links) made[from].connect(slot, made[to], input)
    // Loading a graph, which is what undo does, settles ids and order in it. What is settled is loaded unchanged.
    const saved = () => JSON.parse(JSON.stringify(app.graph.serialize()))
    for (let before = "", left = 4; left && before !== JSON.stringify(saved().nodes); left--) {
        before = JSON.stringify(saved().nodes)
        await app.loadGraphData(saved(), false, false, app.extensionManager.workflow.activeWorkflow)
        for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame)
    }
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.setDirty(true, true)
    for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame)
    const tracker = app.extensionManager.workflow.activeWorkflow.changeTracker
    ;(tracker.captureCanvasState ?? tracker.checkState).call(tracker)
    tracker.undoQueue.length = tracker.redoQueue.length = 0
}"""
SAVED = """() => {
    const root = app.rootGraph ?? app.graph
    const whole = JSON.parse(JSON.stringify(root.serialize()))
    const parts = {}
    for (const graph of [root, ...(root.subgraphs?.values() ?? [])]) {
        const name = id => id == -10 ? "in" : id == -20 ? "out" : graph.getNodeById(id).title
        const inside = graph === root ? "" : `${graph.name}/`
        for (const node of graph.nodes) {
            const { pos, size, mode } = node
            Object.assign(parts, { [`${inside}${node.title}`]: [node.type, mode, ...pos, ...size].join(" ") })
            for (const widget of node.widgets ?? []) {
                // What a run shows on a node is no widget of the workflow.
                if (!widget.name.startsWith("$$")) parts[`${inside}${node.title}.${widget.name}`] = widget.value
            }
        }
        for (const link of graph.links.values()) {
            const to = graph.getNodeById(link.target_id)
            const input = to ? to.inputs[link.target_slot].name : link.target_slot
            parts[`${inside}${name(link.origin_id)} ${link.origin_slot} -> ${name(link.target_id)} ${input}`] = true
        }
    }
    const sorted = list => [...list].sort((a, b) => String(a.id ?? a[0]).localeCompare(String(b.id ?? b[0])))
    const { definitions } = whole
    return { parts, whole: JSON.stringify({ nodes: sorted(whole.nodes), links: sorted(whole.links), definitions }) }
}"""
RUN = """async () => {
    const { api } = window.comfyAPI.api
    const shown = new Map()
    let image
    await new Promise((done, failed) => {
        api.addEventListener("executed", ({ detail }) => {
            const first = detail.output?.images?.[0]
            if (first) shown.set(String(detail.display_node ?? detail.node), (image = first).filename)
        })
        api.addEventListener("execution_success", done, { once: true })
        api.addEventListener("execution_error", e => failed(new Error(JSON.stringify(e.detail))), { once: true })
        app.queuePrompt(0, 1)
    })
    // Nodes grow by what a run shows on them, when the picture has come. Until then the workflow is not at rest.
    const waits = node => {
        const name = shown.get(String(node.id))
        return name && !node.imgs?.some(i => i.complete && i.src.includes(name))
    }
    const sizes = () => JSON.stringify(app.canvas.graph.nodes.map(n => [...n.size]))
    for (let same = 0, before = "", left = 600; same < 10 && left; left--) {
        await new Promise(requestAnimationFrame)
        const now = sizes()
        same = now === before && !app.canvas.graph.nodes.some(waits) ? same + 1 : 0
        before = now
    }
    return image
}"""
TRAP = (
    "window.trapped = []; for (const name of ['alert', 'confirm', 'prompt']) window[name] = (...a) => trapped.push(a)"
)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [d for k in {*one, *other} for d in differences(one.get(k), other.get(k), f"{path}/{k}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [d for i, pair in enumerate(zip(one, other, strict=True)) for d in differences(*pair, f"{path}/{i}")]
    return [] if one == other else [f"{path}: {one!r} is {other!r}"]


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The parts that differ: plain for another value, with ``+`` or ``-`` for what is there in one of them alone."""
    signs = {(True, True): "", (False, True): "+", (True, False): "-"}
    keys = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return {signs[key in before, key in after] + key for key in keys}


class DeckPage:
    """The deck in one page. ``mode`` says how nodes are drawn; ``errors`` gathers what the page's scripts threw.

    ``LORA_DECK_SLOW_PAGE=6`` in the environment slows the page's scripts down by that factor, as a busy machine does.
    """

    def __init__(self, browser: Browser, host: HostServer, **settings: Any) -> None:
        self.host = host
        self.mode = "nodes2" if settings.get("Comfy.VueNodes.Enabled") else "classic"
        self.context = browser.new_context(viewport={"width": 1560, "height": 900})
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=host.address)
        self.page: Page = self.context.new_page()
        # Machines are shared: how long something takes says nothing here.
        self.page.set_default_timeout(90_000)
        expect.set_options(timeout=20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(f"{error.message}\n{error.stack}"))
        self.page.add_init_script(TRAP)
        self.settings(**{**SETTINGS, **settings})
        slowness = float(os.environ.get("LORA_DECK_SLOW_PAGE", 1))
        if slowness > 1:
            self.context.new_cdp_session(self.page).send("Emulation.setCPUThrottlingRate", {"rate": slowness})
        self.page.goto(host.address)
        self.page.wait_for_function(READY)

    def settings(self, **values: Any) -> None:
        self.page.request.post(f"{self.host.address}/api/settings", data=values)

    def set(self, **values: Any) -> None:
        """Changes settings of the deck in the open page, by their short names."""
        for name, value in values.items():
            self.page.evaluate("([id, v]) => app.extensionManager.setting.set(id, v)", [f"LoRADeck.{name}", value])

    def close(self) -> None:
        self.context.close()

    def forget_errors(self) -> None:
        self.errors.clear()
        self.page.evaluate("() => { window.trapped = [] }")

    def assert_no_errors(self) -> None:
        """The page's scripts threw nothing, and none of them asked with a window of the browser."""
        assert self.errors == []
        assert self.page.evaluate("() => window.trapped") == []

    # ── graph ──

    def build(self, nodes: Mapping[str, Any] = NODES, links: Any = LINKS) -> None:
        self.page.evaluate(BUILD, [dict(nodes), list(links)])
        self.page.wait_for_timeout(300)

    def graph(self) -> Any:
        """The workflow as it would be saved, without what looking at it changes."""
        graph = json.loads(self.page.evaluate("() => JSON.stringify(app.graph.serialize())"))
        return {
            "nodes": sorted(
                ([n.get("title", n["type"]), n["type"], n.get("widgets_values") or []] for n in graph["nodes"]),
                key=str,
            ),
            "links": self.links(),
        }

    def saved(self) -> tuple[dict[str, Any], Any]:
        """The workflow as it is saved: by its parts (nodes, widgets, links; those of subgraphs too), and whole."""
        found = self.page.evaluate(SAVED)
        return found["parts"], json.loads(found["whole"])

    @contextmanager
    def gesture(self, *changes: str, picture: bool = True) -> Iterator[None]:
        """Around one gesture of the deck: exactly these parts of the saved workflow are other ones after it (``+`` and
        ``-`` before what came and went), the queued picture is another one, and undo and redo go back and forth between
        the two workflows to the letter.
        """
        # First: a run shows texts on nodes, which grow by them.
        plain = self.run() if picture else b""
        self.frames(10)
        before = self.saved()
        yield
        self.settled()
        after = self.saved()
        found = changed(before[0], after[0])
        assert found == set(changes), f"changed is {sorted(found)}"
        self.page.evaluate("() => document.activeElement?.blur()")
        self.undo()
        different = differences(before, self.saved())
        assert not different, f"undo does not restore {different}"
        self.redo()
        different = differences(after, self.saved())
        assert not different, f"redo does not restore {different}"
        assert not self.page.evaluate("() => document.activeElement.matches('textarea')"), "redo went into a text"
        if picture:
            assert self.run() != plain, "the picture is the same"

    def links(self) -> list[list[Any]]:
        """Sorted ``[from title, slot, to title, input name]``."""
        return sorted(
            self.page.evaluate("""() => [...app.graph.links.values()].map(l => {
            const [from, to] = [app.graph.getNodeById(l.origin_id), app.graph.getNodeById(l.target_id)]
            return [from.title, l.origin_slot, to.title, to.inputs[l.target_slot].name] })""")
        )

    def widgets(self, kind: str) -> list[str]:
        """Names of the widgets that a new node of this type has."""
        names: list[str] = self.page.evaluate("t => (LiteGraph.createNode(t).widgets ?? []).map(w => w.name)", kind)
        return names

    def text(self, title: str) -> str:
        return str(
            self.page.evaluate(
                """title => app.graph._nodes.find(n => n.title === title)
            .widgets.find(w => w.name === "text").value""",
                title,
            )
        )

    def area(self, title: str) -> Locator:
        """The text area of a node, in either way of drawing."""
        ident = self.page.evaluate("title => String(app.graph._nodes.find(n => n.title === title).id)", title)
        vue = self.page.locator(f'[data-node-id="{ident}"] textarea')
        if vue.count():
            return vue.first
        self.page.evaluate(
            """title => { const w = app.graph._nodes.find(n => n.title === title).widgets.find(w => w.name === "text")
            w.element.dataset.ofTest = title }""",
            title,
        )
        return self.page.locator(f'textarea[data-of-test="{title}"]')

    def type_in(self, title: str, text: str = "") -> None:
        """Clicks into a prompt, at its end, and types."""
        self.area(title).click()
        self.page.keyboard.press("Control+End")
        if text:
            self.page.keyboard.type(text)
        self.frames()

    def undo(self) -> None:
        self._step("z")

    def redo(self) -> None:
        self._step("y")

    def _step(self, key: str) -> None:
        # The host looks at a key one frame late, and takes the letting go of a key that follows Control for the end of
        # another change. So the keys are held until the step is taken back.
        depth = """() => { const t = app.extensionManager.workflow.activeWorkflow.changeTracker
            return t._restoringState ? -1 : t.undoQueue.length }"""
        before = self.page.evaluate(depth)
        self.page.keyboard.down("Control")
        self.frames()
        self.page.keyboard.down(key)
        self.page.wait_for_function(f"was => {{ const now = ({depth})(); return now >= 0 && now !== was }}", arg=before)
        self.page.keyboard.up(key)
        self.page.keyboard.up("Control")
        self.frames()

    def frames(self, count: int = 4) -> None:
        """Waits until the page was drawn some times."""
        self.page.evaluate(
            "async count => { for (let i = 0; i < count; i++) await new Promise(requestAnimationFrame) }", count
        )

    def run(self) -> bytes:
        """Queues the graph as the Run button does; the picture's pixels, without the prompt that its file holds."""
        return Image.open(io.BytesIO(self.run_file())).convert("RGB").tobytes()

    def run_file(self) -> bytes:
        """Queues the graph as the Run button does; the picture's file."""
        image = self.page.evaluate(RUN)
        query = "&".join(f"{k}={image[k]}" for k in ("filename", "subfolder", "type"))
        return self.host.request("GET", f"/view?{query}").body

    # ── deck ──

    def open(self) -> None:
        if not self.page.locator("lora-deck").count():
            self.page.click('nav button[aria-label^="LoRA Deck"]')
        self.page.wait_for_selector("lora-deck [role=option]:not([aria-busy])")

    def reset(self, **patch: Any) -> None:
        """Puts the deck's state back to how it is after a reload."""
        self.page.evaluate(
            """async patch => {
            document.querySelector("lora-deck")?.deck?.tools.closeFilters()
            const own = performance.getEntriesByType("resource").map(e => e.name).find(n => n.includes("/store.mjs"))
            const { NO_FILTERS, update } = await import(own)
            update({ ...NO_FILTERS, fits: true, order: "name", descending: false, size: "medium", tree: false,
                picked: new Map(), scroll: 0, ...patch })
        }""",
            patch,
        )
        self.page.wait_for_timeout(400)

    def card(self, name: str) -> Locator:
        return self.page.locator("lora-deck [role=option]").filter(has_text=name)

    def click(self, name: str) -> None:
        """Clicks a card and waits until the gesture is over."""
        self.card(name).click()
        self.settled()

    def hover(self, name: str) -> None:
        """Points at a card, after any scrolling that brings it into view is over."""
        self.page.mouse.move(1500, 20)
        self.card(name).scroll_into_view_if_needed()
        self.page.wait_for_timeout(250)
        self.card(name).hover()

    def settled(self) -> None:
        """Waits until the gesture is over and the cards show what it did."""
        self.page.evaluate("""async () => {
            const { deck } = document.querySelector("lora-deck")
            for (let before; before !== deck.gestures.running;) await (before = deck.gestures.running)
            await deck.look()
        }""")
        self.frames()

    def names(self) -> list[str]:
        """The cards' accessible names, by content."""
        cards = self.page.locator("lora-deck [role=option]").all()
        return [" ".join(card.text_content().split()) for card in cards]  # type: ignore[union-attr]

    def shot(self, name: str) -> Path:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path
