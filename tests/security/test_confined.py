"""What a step may not do is refused, whichever library tries: pickles, code of a checkpoint, other machines."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import prunescope
from prunescope.confine import is_local
from prunescope.errors import PrunescopeError
from prunescope.models.configuration import load_config
from prunescope.models.prepare import describe
from tiny import save_source, tiny_model

CONFINED = "import sys\nfrom prunescope.confine import confine\nconfine('gradients', network={network})\n"


def confined(code: str, network: bool = False) -> str:
    """Run code in a process that is confined; return the last line of what it says."""
    code = CONFINED.format(network=network) + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stderr.strip() or "done").splitlines()[-1]


def test_no_pickle_is_opened(tmp_path):
    pickled = "import pickle\nclass E:\n def __reduce__(self): return eval, ('1',)\npickle.loads(pickle.dumps(E()))"
    for network in (False, True):
        assert "was to open a pickle (of builtins.eval), which can run any code" in confined(pickled, network)


def test_torch_opens_none_either(tmp_path):
    code = (
        f"import pathlib, torch\nfile = '{tmp_path}/a.pt'\ntorch.save({{'a': pathlib.PosixPath('x')}}, file)\n"
        "torch.load(file, weights_only=False)"
    )
    assert "was to open a pickle" in confined(code)


LLAMA_CPP = """
import os
llama_log_callback, llama_log_set = lambda f: f, print
class Llama:
    def __init__(self, path, **_):
        if path == "damaged":
            raise ValueError("Failed to load")
        if path == "odd":
            os.abort()
    def tokenize(self, text, **_):
        return [*text]
"""


def test_a_step_gets_what_llama_cpp_computes_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "llama_cpp.py").write_text(LLAMA_CPP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    ask = "from prunescope.export.llama_cpp import tokenize\nassert tokenize('{}', 'ab') == [97, 98]"
    assert confined(ask.format("good")) == "done"
    assert confined(ask.format("damaged")).endswith("ExportError: llama.cpp refuses damaged: Failed to load")
    assert confined(ask.format("odd")).endswith("llama.cpp stopped at one of its own checks while it worked on odd")


def test_a_step_that_needs_no_network_reaches_no_other_machine():
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    connect = "import socket\nsocket.socket().connect(('192.0.2.1', 80))"
    assert confined(connect).endswith("was to reach 192.0.2.1, and needs no network: please report it")
    send = "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 80))"
    assert "192.0.2.1" in confined(send)
    local = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(s.getsockname())"
    assert confined(local) == "done"
    quick = "import socket\ns = socket.socket()\ns.settimeout(0.01)\ntry: s.connect(('192.0.2.1', 80))\n"
    assert confined(quick + "except PermissionError: raise\nexcept OSError: pass", network=True) == "done"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.0.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("localhost", 1), True),
        ("/tmp/socket", True),
        (("0.0.0.0", 1), False),
        (("example.org", 1), False),
        (("localhost.example.org", 1), False),
    ],
)
def test_which_addresses_are_on_this_machine(address, local):
    assert is_local(address) is local


def test_the_command_of_the_rules_confines_itself(monkeypatch):
    from prunescope.cli import people

    told = []
    monkeypatch.setattr(people, "confine", lambda step, network: told.append((step, network)))
    monkeypatch.setattr("prunescope.steps.job.run", lambda *_: None)
    for step in ("gradients", "model", "track"):
        people.run(step, Path("x"), "{}")
    assert told == [("gradients", False), ("model", True), ("track", True)]


def test_code_beside_a_checkpoint_does_not_run(tmp_path):
    save_source(tiny_model().float(), tmp_path)
    config = tmp_path / "config.json"
    content = json.loads(config.read_text())
    classes = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.T", "evil.T"]}
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config.write_text(json.dumps(content | {"auto_map": classes}))
    describe("tiny", tmp_path, "here", None)
    config.write_text(json.dumps(content | {"auto_map": classes, "model_type": "evil"}))
    with pytest.raises(PrunescopeError):
        load_config(tmp_path)
    tokenizer = tmp_path / "tokenizer_config.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"auto_map": classes}))
    config.write_text(json.dumps(content | {"auto_map": classes}))
    from prunescope.data.tokenizer import load_encoder

    load_encoder(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in the package, with its file and the name of what is called."""
    found = []
    for file in sorted(Path(prunescope.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                found.append((file.name, ast.unparse(node.func), node))
    return found


def test_nothing_in_the_package_asks_for_what_runs_code():
    """Only a checkpoint that this package has just written is loaded with its code, in a process of its own."""
    given = [(file, name, {k.arg: ast.unparse(k.value) for k in call.keywords}) for file, name, call in calls()]
    trusting = [(file, name) for file, name, told in given if told.get("trust_remote_code", "False") != "False"]
    assert trusting == [("logits_alone.py", "AutoModelForCausalLM.from_pretrained")]
    forbidden = ("torch.load", "pickle.load", "pickle.loads", "eval", "exec", "yaml.unsafe_load", "os.system")
    assert [(file, name) for file, name, _ in given if name in forbidden] == []
    assert [(file, name) for file, name, told in given if told.get("shell") == "True"] == []
    loaded = [told for _, name, told in given if name == "yaml.load"]
    assert loaded and all("SafeLoader" in told["Loader"] for told in loaded)
