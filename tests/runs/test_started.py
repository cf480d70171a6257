"""How a run was started, for the commands that a report prints."""

import pytest

from prunescope.runs.started import START, start


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ("--cores all results/m/e", ""),
        ("--cores all --configfile a.yaml -- results/m/e", "a.yaml"),
        ("--configfile a.yaml b.yaml --cores all results/m/e", "a.yaml b.yaml"),
        ("--configfile=a.yaml --cores all results/m/e", "a.yaml"),
        ("--configfiles a.yaml -n results/m/e --config x=1", "a.yaml"),
    ],
)
def test_the_configuration_files_are_repeated(arguments, files):
    assert start(arguments.split()) == (f"{START} --configfile {files} --" if files else START)
