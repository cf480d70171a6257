"""A search on the page and in its figure."""

from diagnosis_data import search, trials
from prunescope.diagnosis.words import LANGUAGES
from prunescope.reporting.figures.search import search_figure
from prunescope.reporting.page.search import search_section


def test_the_page_says_what_was_found_why_it_stands_and_what_other_windows_say():
    found, _ = search()
    said = search_section(found, trials({"mine": 1.0}, own="mine"))
    assert "4 settings were tried on held-out windows (9 of wiki and 9 of hansard), 2 of them on all" in said
    assert "Kept as configured: `limits.max_rate`." in said
    assert "| found | criterion = gate, temperature = 0.3 | 0.4000 | 28.00 (1.40) | 28.00 (1.40) |" in said
    assert "divided by that of the best start: 0.78 [0.70, 0.85]" in said
    assert (
        "On windows that the search did not use (4 of wiki and 4 of hansard): 100.00 on wiki (20.00 unpruned)" in said
    )
    assert "`method.criterion` 75%, `method.temperature` 25%" in said
    assert "The same by name: `gate_T0.3_20_wiki`." in said


def test_the_page_says_that_a_start_stands_and_that_time_ended_it():
    found, _ = search()
    found = found.model_copy(update={"winner": found.start, "stopped": True, "left_out": {"talk": "too short"}})
    said = search_section(found, None)
    assert "One of the settings that the search began with stands" in said
    assert "Time ended it" in said and "Not searched on talk: too short." in said
    assert "did not use" not in said


def test_the_figure_has_a_dot_per_setting_and_rung_and_the_best_so_far():
    found, tried = search()
    above, below = search_figure(found, tried, words=LANGUAGES["zh"]).axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in above.lines}
    few, _, starts, best = lines.values()
    assert few == [0.9, 1.2, 0.5, 2.0] and starts == [0.9, 1.2]
    assert best == [0.8, 0.8, 0.4, 0.4]
    assert [label.get_text() for label in below.get_yticklabels()] == ["method.temperature", "method.criterion"]
    (alone,) = search_figure(found.model_copy(update={"importance": {}}), tried).axes
    assert alone.get_yscale() == "log"
