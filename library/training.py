"""What the metadata of a header tells about the training. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .facts import decoded

_ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("title", ("modelspec.title",)),
    ("author", ("modelspec.author",)),
    ("license", ("modelspec.license",)),
    ("trained_as", ("ss_output_name", "name")),
    ("trained_on", ("ss_sd_model_name", "ss_base_model_version", "modelspec.architecture")),
    ("images", ("ss_num_train_images",)),
    ("epochs", ("ss_num_epochs", "ss_epoch")),
    ("steps", ("ss_steps", "ss_max_train_steps")),
    ("rank", ("ss_network_dim",)),
    ("alpha", ("ss_network_alpha",)),
    ("module", ("ss_network_module",)),
    ("optimiser", ("ss_optimizer",)),
    ("learning_rate", ("ss_learning_rate",)),
    ("unet_learning_rate", ("ss_unet_lr",)),
    ("te_learning_rate", ("ss_text_encoder_lr",)),
    ("batch", ("ss_total_batch_size",)),
    ("resolution", ("modelspec.resolution", "ss_resolution")),
    ("clip_skip", ("ss_clip_skip",)),
    ("seed", ("ss_seed",)),
    ("comment", ("ss_training_comment",)),
    ("software", ("software", "modelspec.implementation")),
    ("finished", ("ss_training_finished_at", "modelspec.date")),
)
"""(fact, keys of the metadata of which the first with a value counts)"""
_NESTED = (("steps", "training_info", "step"), ("epochs", "training_info", "epoch"), ("software", "software", "name"))
"""(fact, key whose value is JSON, key in it): ai-toolkit's form."""
_NOTHING = ("", "None", "null", "{}", "[]")


def training(metadata: Mapping[str, str]) -> dict[str, str]:
    """Fact → what the trainer wrote, in the order that they are shown in; facts without a value are left out."""
    nested = {
        fact: str(value[inner])
        for fact, key, inner in _NESTED
        if isinstance(value := decoded(metadata.get(key)), dict) and inner in value
    }
    found: dict[str, str] = {}
    for fact, keys in _ROWS:
        values = [metadata[key].strip() for key in keys if key in metadata]
        given = nested.get(fact) or next((v for v in values if v not in _NOTHING), "")
        if given:
            found[fact] = given
    return found
