"""What a header's metadata tells about the training."""

from __future__ import annotations

from lora_deck.library.training import training


def test_facts_of_sd_scripts_in_the_order_shown() -> None:
    metadata = {
        "ss_optimizer": "AdamW8bit", "ss_output_name": " ink ", "ss_num_train_images": "418", "ss_num_epochs": "10",
        "ss_epoch": "9", "ss_seed": "None", "ss_network_alpha": "8.0", "unknown": "x", "ss_training_comment": "",
    }  # fmt: skip
    assert list(training(metadata).items()) == [
        ("trained_as", "ink"), ("images", "418"), ("epochs", "10"), ("alpha", "8.0"), ("optimiser", "AdamW8bit"),
    ]  # fmt: skip


def test_facts_of_ai_toolkit() -> None:
    metadata = {"name": "ink", "software": '{"name": "ai-toolkit", "repo": "x"}',
                "training_info": '{"step": 2000, "epoch": 7}'}  # fmt: skip
    assert training(metadata) == {"trained_as": "ink", "steps": "2000", "epochs": "7", "software": "ai-toolkit"}


def test_broken_nested_values_are_passed_over() -> None:
    assert training({"training_info": "{broken", "software": "plain text", "ss_steps": "5"}) == {
        "steps": "5", "software": "plain text",
    }  # fmt: skip
