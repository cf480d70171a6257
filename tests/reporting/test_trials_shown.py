"""The trial of other settings on the page and in its figure."""

import pytest

from diagnosis_data import trials
from prunescope.artifacts.trials import Trials
from prunescope.reporting.figures.trials import trials_figure
from prunescope.reporting.page.trials import SHOWN, trials_section

MANY = {f"gate_T1_tauinf_max{number}_early30_protect0.1.2.29": 0.2 * 1.2**number for number in range(24)}


def test_the_figure_has_a_row_per_setting_the_best_at_the_top():
    found = trials({"gate_T0": 0.4, "mine": 1.0, "share": 3.0}, own="mine")
    (axes,) = trials_figure(found).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["gate_T0", "mine", "share"]
    bottom, top = axes.get_ylim()
    assert top < 0 < 2 < bottom
    assert [label.get_fontweight() for label in axes.get_yticklabels()] == ["normal", "bold", "normal"]
    dots = {line.get_label(): list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"}
    assert dots == {"wiki": [0.4, 1.0, 3.0], "hansard": [0.4, 1.0, 3.0]}
    upright = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert upright == {0.2}  # the unpruned model's perplexity is 20, the experiment's 100


def test_the_figure_grows_with_the_settings():
    few, many = (trials_figure(trials(ratios, own="mine")) for ratios in ({"mine": 1.0}, MANY | {"mine": 1.0}))
    assert many.get_size_inches()[1] > few.get_size_inches()[1] + 6


def test_where_no_text_is_held_out_figure_and_page_say_so():
    found = Trials(texts={}, left_out={"c4": "too short"}, measured=0, rank=0, candidates=[])
    assert [text.get_text() for text in trials_figure(found).texts if "held out" in text.get_text()]
    assert trials_section(found) == "No other setting was tried, since no text is held out.\n\n- c4: too short"


@pytest.mark.parametrize("ridge", [0.1, None])
def test_refitted_cuts_are_called_so(ridge):
    found = trials({"gate_T0": 0.4, "mine": 1.0}, own="mine").model_copy(update={"ridge": ridge})
    assert any("each refitted" in text.get_text() for text in trials_figure(found).texts) is (ridge is not None)
    said = trials_section(found, repaired=True)
    assert ("were refitted before they were measured" in said) is (ridge is not None)
    assert ("as the cut leaves them, without repair" in said) is (ridge is None)


def test_a_destroyed_model_does_not_squeeze_the_others():
    (axes,) = trials_figure(trials({"gate_T0": 0.4, "mine": 1.0, "magnitude_T0": 20_000.0}, own="mine")).axes
    assert axes.get_xlim()[1] == 10
    assert [text.get_text() for text in axes.texts] == ["20,000 ▸", "20,000 ▸"]
    dots = {line.get_label(): list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"}
    assert dots == {"wiki": [0.4, 1.0], "hansard": [0.4, 1.0]}


def test_an_interval_that_is_unknown_is_a_dot():
    found = trials({"mine": 1.0, "gate_T0": 0.5}, own="mine")
    effects = [effect for one in found.ranked for effect in one.texts.values()]
    for effect in effects:
        effect.__dict__.update(low=None, high=None)
    (axes,) = trials_figure(found).axes
    assert all(len(set(line.get_xdata())) == 1 for line in axes.lines if line.get_marker() != "o")
    assert "50.00 (0.50)" in trials_section(found)


@pytest.mark.parametrize(("own", "rank"), [("mine", 3), ("gate_T0", 1)])
def test_the_page_says_where_the_experiment_stands(own, rank):
    ratios = {"gate_T0": 0.4, "taylor_T0": 0.8, "mine": 1.0} if own == "mine" else {"gate_T0": 1.0, "mine": 2.0}
    said = trials_section(trials(ratios, own=own))
    assert f"{len(ratios)} settings were tried before the cut, on held-out windows (4 of wiki and 4 of hansard)" in said
    assert f"This one is number {rank}." in said
    assert "| wiki (20.00 unpruned) |" in said


def test_the_page_shows_the_best_and_the_experiment_itself():
    said = trials_section(trials(MANY | {"mine": 20.0}, own="mine"))
    rows = [line for line in said.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == SHOWN + 1
    assert rows[-1].startswith("| 25 | `mine` | 2,000 (20.00 [1.00, 1.00])")
