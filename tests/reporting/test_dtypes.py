"""Where numbers were computed in different dtypes, comparison, page and model card say so."""

import pytest
from folders import DTYPES, card, write

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.reporting.comparison.frame import read_comparison
from prunescope.reporting.comparison.show import as_page, print_comparison
from prunescope.reporting.dtypes import computed_in, mixed_dtypes
from prunescope.reporting.page.sections import protocol_table

STARTS = "Computed in different dtypes, so that small differences may be rounding: "
MIXED_PRIOR = DTYPES | {"gradients": "bfloat16", "removal": "float32"}


@pytest.mark.parametrize(
    ("dtypes", "said"),
    [
        ({"one": DTYPES, "two": DTYPES}, None),
        # Evaluation need not be in the dtype of the gradients.
        ({"one": DTYPES | {"gradients": "bfloat16"}}, None),
        # A step that one of them does without is not compared.
        ({"one": DTYPES, "two": DTYPES | {"removal": "float32"}}, None),
        (
            {"one": DTYPES, "two": DTYPES | {"gradients": "bfloat16"}, "three": DTYPES},
            "gradients in float32 (`one`, `three`) and bfloat16 (`two`).",
        ),
        ({"one": MIXED_PRIOR}, "gradients in bfloat16, removal in float32 (`one`)."),
        (
            {name: DTYPES | {"baseline": "bfloat16"} for name in ("one", "two")},
            "baseline in bfloat16, evaluation in float32 (`one`, `two`).",
        ),
        (
            {"one": DTYPES, "two": DTYPES | {"evaluation": "bfloat16"}},
            "evaluation in float32 (`one`) and bfloat16 (`two`); baseline in float32, evaluation in bfloat16 (`two`).",
        ),
        (
            {"one": {"zeroshot_baseline": "float32", "zeroshot": "bfloat16"}},
            "zeroshot baseline in float32, zeroshot in bfloat16 (`one`).",
        ),
    ],
)
def test_what_differs_is_named_in_one_line(dtypes, said):
    assert mixed_dtypes(dtypes) == (said and STARTS + said)


def test_the_comparison_says_it_in_the_terminal_and_on_its_page(tmp_path, capsys):
    folders = [
        write(tmp_path, "one", {"a w8": 20.0}),
        write(tmp_path, "two", {"a w8": 30.0}, dtypes={"gradients": "bfloat16"}),
    ]
    said = f"{STARTS}gradients in float32 (`one`) and bfloat16 (`two`)."
    compared = read_comparison(folders)
    assert said in as_page(compared, "M / s", {})
    for markdown in (True, False):
        print_comparison(compared, markdown, everything=True, unfinished=[])
        assert said in " ".join(capsys.readouterr().out.split())
    assert STARTS not in as_page(read_comparison(folders[:1]), "M / s", {})


def test_without_a_card_the_perplexities_tell(tmp_path):
    """As of a plan that was applied by hand."""
    folder = ExperimentFolder(write(tmp_path, "one", {"a w8": 20.0}))
    folder.card.path.unlink()
    assert read_comparison([folder.path]).dtypes == {"one": {"baseline": "float32", "evaluation": "float32"}}


@pytest.mark.parametrize("text", [protocol_table, computed_in], ids=["page", "model card"])
def test_page_and_model_card_tell_the_dtypes(text):
    known = "gradients in bfloat16, removal in float32, baseline in float32, evaluation in float32"
    said = text(card("M/one", MIXED_PRIOR))
    assert known in said
    assert f"{STARTS}gradients in bfloat16, removal in float32 (`one`)." in said
    assert STARTS not in text(card("M/one", DTYPES))
