"""A pack for the tests, placed beside LoRA Deck in the test host: shows what nodes cannot show over HTTP.

`GET /deck_probe/patched` counts how often the host has computed a patched weight since it started;
`POST /deck_probe/cancel` with a number cancels the prompt that computes so many more.
"""

import hashlib
import json

import comfy.model_management
import comfy.model_patcher
from aiohttp import web
from server import PromptServer

_patched = 0
_cancel_at = None
_patch_weight = comfy.model_patcher.ModelPatcher.patch_weight_to_device


def _counting(self, key, *args, **kwargs):
    global _patched
    if key in self.patches:
        _patched += 1
        if _patched == _cancel_at:
            comfy.model_management.interrupt_current_processing()
    return _patch_weight(self, key, *args, **kwargs)


comfy.model_patcher.ModelPatcher.patch_weight_to_device = _counting


@PromptServer.instance.routes.get("/deck_probe/patched")
async def patched(request):
    return web.json_response(_patched)


@PromptServer.instance.routes.post("/deck_probe/cancel")
async def cancel(request):
    global _cancel_at
    _cancel_at = _patched + await request.json()
    return web.json_response(_cancel_at)


class ProbeWeights:
    """Digest of every patched weight of a model and a text encoder."""

    CATEGORY, FUNCTION, OUTPUT_NODE, RETURN_TYPES = "probe", "run", True, ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "clip": ("CLIP",)}}

    def run(self, model, clip):
        digests = {}
        for patcher in (model, clip.patcher):
            comfy.model_management.load_models_gpu([patcher])
            state = patcher.model.state_dict()
            for key in patcher.patches:
                digests[key] = hashlib.sha256(state[key].contiguous().view(-1).numpy().tobytes()).hexdigest()
        return {"ui": {"digests": [json.dumps(digests)]}}


class ProbePlainStack:
    """Another pack's stacker."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("LORA_STACK",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"rows": ("STRING", {})}, "optional": {"lora_stack": ("LORA_STACK",)}}

    def run(self, rows, lora_stack=None):
        return ([*(lora_stack or []), *(tuple(row) for row in json.loads(rows))],)


class ProbeShowList:
    """Another pack's loader, as far as its reading of the list goes."""

    CATEGORY, FUNCTION, OUTPUT_NODE, RETURN_TYPES = "probe", "run", True, ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"lora_stack": ("LORA_STACK",)}}

    def run(self, lora_stack):
        assert type(lora_stack) is list and all(type(item) is tuple for item in lora_stack)
        set(lora_stack)
        return {"ui": {"rows": [json.dumps([(name, model, clip) for name, model, clip in lora_stack])]}}


class ProbeShowRay:
    """Raylight's loader, as far as its reading of the list goes."""

    CATEGORY, FUNCTION, OUTPUT_NODE, RETURN_TYPES = "probe", "run", True, ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ray_lora": ("RAY_LORA",)}}

    def run(self, ray_lora):
        assert type(ray_lora) is list and all(type(item) is dict for item in ray_lora)
        return {"ui": {"rows": [json.dumps([{k: item[k] for k in ("path", "strength_model")} for item in ray_lora])]}}


class ProbeTexts:
    """Another pack's list of prompts, known only when it runs."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_IS_LIST = "probe", "run", ("STRING",), (True,)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"texts": ("STRING", {})}}

    def run(self, texts):
        return (json.loads(texts),)


NODE_CLASS_MAPPINGS = {
    "ProbeWeights": ProbeWeights,
    "ProbePlainStack": ProbePlainStack,
    "ProbeShowList": ProbeShowList,
    "ProbeShowRay": ProbeShowRay,
    "ProbeTexts": ProbeTexts,
}
