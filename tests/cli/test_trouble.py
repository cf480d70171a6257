"""What is wrong with the machine is said as such: where, what, what to do; whichever library noticed."""

import errno
import sys

import pytest

import prunescope.cli as cli
from prunescope.cli.trouble import explain

FULL = "no space left on device: free some space, and run the same command again: what is finished is kept"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "results/m/e/.plan.json.h.1.tmp.json"),
            f"results/m/e: {FULL}",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'), FULL),
        (PermissionError(errno.EACCES, "x", "a/b.json"), "a/b.json: permission denied: give this account the right"),
        (OSError(errno.EROFS, "x", "a/.b.lease"), "a: read-only file system: put the project on a disk that"),
    ],
)
def test_the_sentence(error, said):
    assert explain(error).startswith(said)
    wrapped = RuntimeError("could not write")
    wrapped.__cause__ = error
    assert explain(wrapped) == explain(error)


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(errno.ENOENT, "x", "y"), ValueError("28")])
def test_what_is_our_mistake_is_not_put_on_the_machine(error):
    assert explain(error) is None


def test_the_command_says_it_alone(monkeypatch, capsys):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device", "results/x.json")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(sys, "argv", ["prunescope", "run", "page", "results/m/e"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"prunescope: results/x.json: {FULL}\n"
