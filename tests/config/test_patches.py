"""Nested dictionaries of settings: merged, compared, flattened."""

import pytest

from prunescope.config.patches import at, differences, flatten, leaves, merge, nested, overlap


@pytest.mark.parametrize(
    ("before", "after", "merged"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": None}, {"a": {}}, {"a": {}}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_the_later_mapping_wins_key_by_key(before, after, merged):
    untouched = {"z": {"y": 0}}
    assert merge(untouched | before, after) == untouched | merged
    assert merge({}, before, after) == merged


def test_merging_changes_no_layer():
    before, after = {"a": {"b": 1}}, {"a": {"c": 2}}
    merge(before, after)
    assert (before, after) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_leaves_and_nested_are_inverse():
    patch = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": None, "f": {"g": {}}}
    assert dict(leaves(patch)) == {"a.b.c": 1, "a.d": [1, 2], "e": None, "f.g": {}}
    assert nested(dict(leaves(patch))) == patch
    assert nested({"a.b": 1, "a": {"c.d": 2}}) == {"a": {"b": 1, "c": {"d": 2}}}


def test_at_follows_a_path():
    patch = {"a": {"b": None, "c": 1}}
    assert at(patch, "a.c", "none") == 1
    assert at(patch, "a.b", "none") is None
    assert at(patch, "a.b.c", "none") == at(patch, "a.d", "none") == at(patch, "e", "none") == "none"


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 2}}, None),
        ({"a": {"b": 1}}, {"a": {}}, None),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, "a.b"),
        ({"a": {"b": None}}, {"a": {"b": {"c": 1}}}, "a.b"),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": None}}, "a.b"),
    ],
)
def test_overlap_is_the_setting_that_both_patches_set(one, other, found):
    assert overlap(one, other) == found


def test_differences_go_down_to_settings():
    before, after = {"a": {"b": 1, "c": 2}, "d": None, "e": 1}, {"a": {"b": 1, "c": 3}, "d": {"f": 1}, "g": 2}
    assert list(differences(before, after)) == [("a.c", 2, 3), ("d", None, {"f": 1}), ("e", 1, None), ("g", None, 2)]


def test_flat_settings_have_text_for_lists_and_nothing_for_empty_sections():
    settings = {"a": {"b": (1, "x"), "c": None}, "d": [], "e": {}, "f": 0.5}
    assert flatten(settings) == {"a.b": "1, x", "a.c": None, "d": "", "f": 0.5}
