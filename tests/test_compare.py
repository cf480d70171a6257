"""The comparison table holds what the experiments' files hold."""

import json

from prunescope.compare import comparison, print_comparison


def write(folder, rates, perplexity):
    for name in ("analysis", "evaluation"):
        (folder / name).mkdir(parents=True)
    layers = [{"layer": i, "rate": rate} for i, rate in enumerate(rates)]
    summary = {"ratio_of_total": 0.2, "attention_rate": 0.5, "mlp_rate": 0.125, "layers": layers}
    (folder / "analysis/pruning_summary.json").write_text(json.dumps(summary))
    (folder / "analysis/gradient_diagnosis.json").write_text(json.dumps({"num_extreme_layers": 2}))
    result = {name: {"a": {"w8": {"perplexity": value}}} for name, value in perplexity.items()}
    (folder / "evaluation/perplexity.json").write_text(json.dumps(result))
    return folder


def test_rows(tmp_path, capsys):
    one = write(tmp_path / "one", [0.1, 0.9, 0.5], {"baseline": 10.0, "pruned": 20.25})
    two = write(tmp_path / "two", [0.2, 0.3], {"baseline": 10.0, "pruned": 1500.4})
    frame = comparison([one, two])
    assert frame["experiment"].tolist() == ["(unpruned)", "one", "two"]
    assert frame["a w8"].tolist() == [10.0, 20.25, 1500.4]
    assert frame["max layer %"].tolist()[1:] == [90, 30]
    assert [round(value) for value in frame["spread %"].tolist()[1:]] == [80, 10]
    print_comparison(frame, markdown=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[3].startswith("| one | 20 | 50 | 12.5 | 90 |")
    print_comparison(frame, markdown=False)
    assert "1,500" in capsys.readouterr().out
