"""The model card: metadata that the hub understands, and the widths of the layers."""

import dataclasses

import pytest
import yaml

from prunescope.artifacts.folders import CheckpointFolder
from prunescope.reporting.page.model_card import card_header, render_card, widths_table
from prunescope.steps.reporting import PageSpec
from tiny import tiny_facts, tiny_model, uneven_plan


def spec_of(licence):
    return PageSpec.model_construct(model="Tiny-1B", experiment="taylor_T0_20_wiki", parent_license=licence)


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("Llama 3 Community License", {"license": "other", "license_name": "Llama 3 Community License"}),
        (None, {"license": "other", "license_name": "unknown"}),
    ],
)
def test_licence(licence, said):
    header = card_header(spec_of(licence), tiny_facts(tiny_model()), stock=False)
    assert {name: value for name, value in header.items() if name.startswith("license")} == said


def test_only_a_parent_on_the_hub_is_a_base_model():
    facts = tiny_facts(tiny_model("qwen2"))
    assert "base_model" not in card_header(spec_of("MIT"), facts, stock=False)
    hub = dataclasses.replace(facts, origin="Qwen/Qwen2.5-7B", revision="0123abcd")
    assert card_header(spec_of("MIT"), hub, stock=False)["base_model"] == "Qwen/Qwen2.5-7B"


def test_widths():
    facts = tiny_facts(tiny_model(kv_heads=3))
    plan = uneven_plan(facts)
    rows = [row.strip("| ").split(" | ") for row in widths_table(plan).splitlines()[2:]]
    assert [row[:2] for row in rows] == [["0", "0"], ["1", "2"], ["2", "3"]]
    assert rows[0][2] == rows[2][3] == "none"
    assert rows[1][3] == f"{len(plan.block(2, 'mlp').kept)} of 20"


def card_of(folder, *files):
    """The card of a checkpoint with these files, and its header."""
    for name in files:
        (folder / name).write_bytes(bytes(12_345_678 if name.endswith(".safetensors") else 0))
    facts = tiny_facts(tiny_model())
    card = render_card(
        spec_of("MIT"), facts, uneven_plan(facts), CheckpointFolder(folder), what="WHAT", scores="SCORES"
    )
    _, header, body = card.split("---\n", 2)
    return yaml.safe_load(header), body


def test_header_is_yaml_and_the_tables_are_there(tmp_path):
    header, body = card_of(tmp_path, "model.safetensors", "modeling_pruned.py")
    assert header == card_header(spec_of("MIT"), tiny_facts(tiny_model()), stock=False)
    assert "12 MB (float64)" in body
    assert body.index("WHAT") < body.index("SCORES") < body.index("## Widths")
    assert "trust_remote_code=True" in body
    assert "uneven.\n- The layers differ in width" in body


def test_a_stock_checkpoint_is_loaded_without_code(tmp_path):
    header, body = card_of(tmp_path, "model.safetensors")
    assert "custom_code" not in header["tags"]
    assert "stock checkpoint" in body
    assert "trust_remote_code" not in body
    assert "uneven.\n- The parent's licence" in body
