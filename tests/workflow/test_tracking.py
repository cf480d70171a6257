"""MLflow as a view of the results: nothing doubled, rebuilt when lost, never in the way."""

import json
import shutil
import sqlite3

EXPERIMENT = "results/tiny/taylor_T1_tau0_20_words"


def counts(project):
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        tables = ("runs", "metrics", "latest_metrics", "params", "tags", "inputs")
        return {table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}


def row(project):
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        (run,) = database.execute("SELECT run_uuid FROM runs WHERE name LIKE '%taylor_T1_tau0_20_words%'").fetchall()
        metrics = database.execute("SELECT key, value FROM latest_metrics WHERE run_uuid = ?", run).fetchall()
        params = database.execute("SELECT key, value FROM params WHERE run_uuid = ?", run).fetchall()
        curve = database.execute(
            "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'prune/rate_by_layer' ORDER BY step", run
        ).fetchall()
    return dict(metrics), dict(params), [step for (step,) in curve]


def test_one_row_with_metrics_parameters_and_curves(finished):
    metrics, params, curve = row(finished)
    for name in ("ppl/words_w16", "ppl_baseline/words_w8", "grad/mean_ratio", "prune/ratio_of_total"):
        assert name in metrics
    summary = json.loads((finished.folder / EXPERIMENT / "analysis/pruning_summary.json").read_text())
    assert metrics["prune/ratio_of_total"] == float(f"{summary['ratio_of_total']:.6g}")
    assert params["method.temperature"] == "1.0"
    assert curve == [0, 1, 2, 3]


def test_all_twice_adds_nothing_and_a_lost_database_comes_back(copy):
    copy.prunescope("track", "--all")
    before = counts(copy)
    copy.prunescope("track", "--all")
    assert counts(copy) == before
    content = row(copy)
    (copy.folder / "mlflow.db").unlink()
    shutil.rmtree(copy.folder / "mlartifacts")
    copy.prunescope("track", "--all")
    assert row(copy) == content


def test_a_server_that_is_down_costs_only_the_sync(copy):
    (copy.folder / EXPERIMENT / "mlflow.json").unlink()
    done = copy.run(EXPERIMENT, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    said = [line for line in done.stderr.splitlines() + done.stdout.splitlines() if "127.0.0.1:9 cannot" in line]
    assert len(said) == 1
    assert "track --all" in said[0]
    assert json.loads((copy.folder / EXPERIMENT / "mlflow.json").read_text())["pending"] is True
