"""What runs and what does not: the promises of the README about caching and targets."""

import json
import os
import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from prunescope.data.calibration import tokens_sha256
from prunescope.tracking.gather import gather

needs_lm_eval = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed (extra: zeroshot)")

EXPERIMENT = "results/tiny/taylor_T1_tau0_20_words"
CHEAP = {
    "importance": 1,
    "trial": 1,
    "diagnosis": 1,
    "plot": 4,
    "pruning": 1,
    "evaluation": 1,
    "page": 1,
    "track": 1,
}
FILES = {
    "analysis": {
        "importance_table.parquet", "plan.json", "pruning_summary.json", "pruning_summary.csv",
        "gradient_statistics.json", "stability.json", "trials.json", "gradient_diagnosis.json", "diagnosis.html",
    },
    "visualization": {
        f"{plot}.{suffix}"
        for plot in ("gradient_analysis", "pruning_rates", "importance_heatmap", "trials")
        for suffix in ("png", "svg")
    },
    "evaluation": {"perplexity.json", "windows.parquet", "words.json", "card.json"},
}  # fmt: skip


def test_the_experiment_is_complete(finished):
    folder = finished.folder / EXPERIMENT
    for name, files in FILES.items():
        assert {file.name for file in (folder / name).iterdir()} == files
    assert {"README.md", "README.html", "config.yaml", "experiment.json", "mlflow.json", "model", "records"} <= {
        file.name for file in folder.iterdir()
    }
    for file in folder.rglob("*.json"):
        json.loads(file.read_text(), parse_constant=lambda name, file=file: pytest.fail(f"{file} holds {name}"))
    assert not list(finished.folder.rglob("*.tmp*"))


@pytest.mark.parametrize("target", ["", EXPERIMENT, EXPERIMENT + "/", f"./{EXPERIMENT}", f"./{EXPERIMENT}/"])
def test_a_second_run_does_nothing_however_the_target_is_spelled(finished, target):
    assert finished.jobs(*[target] if target else []) == {}


def test_the_absolute_path_is_a_target_too(finished):
    short = EXPERIMENT.removeprefix("results/")
    assert finished.jobs(str(finished.folder / EXPERIMENT)) == {}
    assert finished.jobs(str(finished.folder / EXPERIMENT / "README.md"), short, f"{short}/analysis/plan.json") == {}


@pytest.mark.parametrize("name", ["taylor_T2_tauinf_20_words", "magnitude_T1_30_words_max80", "taylor_T0_10_words"])
def test_another_decision_computes_no_gradient(finished, name):
    assert finished.jobs(f"results/tiny/{name}") == CHEAP


def test_other_calibration_shares_the_model_and_the_baseline(finished):
    assert finished.jobs("results/tiny/taylor_T1_20_words_n5") == CHEAP | {
        "calibration": 1, "gradients": 1, "removal": 1, "trial_text": 1,
    }  # fmt: skip


def test_two_experiments_share_one_gradient_run(project):
    jobs = project.jobs("results/tiny/taylor_T1_20_words", "results/tiny/taylor_2nd_T0_20_words")
    assert jobs["gradients"] == jobs["calibration"] == jobs["baseline"] == jobs["removal"] == jobs["model"] == 1
    assert jobs["importance"] == jobs["pruning"] == 2


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("visualization/gradient_analysis.png", {"plot": 1}),
        ("visualization/importance_heatmap.svg", {"plot": 1}),
        ("mlflow.json", {"track": 1}),
        ("analysis/diagnosis.html", {"page": 1, "track": 1}),
    ],
)
def test_a_deleted_file_is_made_again_alone(copy, file, expected):
    (copy.folder / EXPERIMENT / file).unlink()
    assert copy.jobs(EXPERIMENT) == expected
    copy.run(EXPERIMENT)
    assert (copy.folder / EXPERIMENT / file).is_file()
    assert copy.jobs(EXPERIMENT) == {}


def test_cold_programs_find_what_warm_ones_made_and_go_on(copy):
    cold = copy.cold  # not even the seed of their hashes is the same
    assert cold.jobs() == {}
    (copy.folder / EXPERIMENT / "visualization/pruning_rates.png").unlink()
    cold.run()
    assert cold.prunescope("times", EXPERIMENT).stdout == copy.prunescope("times", EXPERIMENT).stdout
    assert copy.jobs() == {}


def test_a_threshold_of_the_report_cuts_nothing_again(copy):
    change_configuration(copy, diagnosis={"extreme_rate": 0.4})
    assert copy.jobs(EXPERIMENT) == {"trial": 1, "diagnosis": 1, "plot": 4, "page": 1, "track": 1}


def test_another_gate_cuts_nothing_again(copy):
    change_configuration(copy, diagnosis={"on_critical": "fail"})
    assert copy.jobs(EXPERIMENT) == {"page": 1, "track": 1}


def test_copies_that_moved_compute_nothing_again(copy):
    for name in ("words", "tiny_model"):
        (copy.folder / name).rename(copy.folder / f"moved_{name}")
    change_configuration(
        copy, models={"tiny": {"path": "moved_tiny_model"}}, datasets={"words": {"local": "moved_words/*.txt"}}
    )
    assert copy.jobs(EXPERIMENT) == {"model": 1}


def test_a_password_is_on_no_command_line(copy):
    change_configuration(copy, tracking={"uri": "postgresql://me:secret@127.0.0.1:9/runs"})
    done = copy.run("--dry-run", "--printshellcmds", EXPERIMENT)
    assert '"uri":"postgresql://127.0.0.1:9/runs"' in done.stdout + done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_settings_that_snakemake_has_forgotten_are_named(copy):
    shutil.rmtree(copy.folder / ".snakemake")
    change_configuration(copy, diagnosis={"extreme_rate": 0.4})
    done = copy.run("--dry-run", EXPERIMENT)
    said = "tiny / taylor_T1_tau0_20_words was made with other settings (diagnosis.extreme_rate)"
    assert said in done.stdout + done.stderr
    assert copy.jobs(EXPERIMENT, "--forcerun", "importance").items() >= {"importance": 1, "evaluation": 1}.items()


def test_a_model_that_is_obtained_again_computes_no_gradient(copy):
    assert copy.jobs("--forcerun", "model", "--", EXPERIMENT) == {"model": 1}


def test_a_moved_project_does_nothing(copy):
    assert copy.jobs(EXPERIMENT) == {}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("results/tiny/tailor_T1_20_words", "unknown criterion 'tailor'.*did you mean 'taylor_T1_20_words'"),
        ("results/tinny/taylor_T1_20_words", "unknown model 'tinny'; did you mean 'tiny'"),
        ("results/tiny/taylor_T1_20_word/", "unknown dataset 'word'.*did you mean 'taylor_T1_20_words'"),
        ("results/tiny/taylor_T1_120_words", r"method\.ratio = 1\.2: must be a number greater than 0 and less than 1"),
        ("results/tiny/tailor_T1_20_words/README.md", "unknown criterion 'tailor'"),
        ("tiny/taylor_T1_20_word", "unknown dataset 'word'.*did you mean 'taylor_T1_20_words'"),
        ("taylor_T1_20_words", "names no model; expected results/tiny/taylor_T1_20_words"),
    ],
)
def test_an_unknown_target_gets_the_nearest_name(finished, target, said):
    done = finished.run("--dry-run", target, check=False)
    assert done.returncode != 0
    assert re.search(said, done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is a folder; name the configuration file in it"), (b"\xff\xfe\0", "is no text in UTF-8")],
)
def test_a_configuration_file_that_is_none_gets_a_sentence(project, content, said):
    path = project.folder / "config/config.yaml"
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    done = project.run("--dry-run", check=False)
    assert done.returncode != 0 and f"config/config.yaml {said}" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_copy_without_the_times_of_its_files_says_how_to_keep_them(copy):
    os.utime(copy.folder / EXPERIMENT / "model/.snakemake_timestamp")
    os.utime(copy.folder / EXPERIMENT / "records/evaluation.json")
    for file in (copy.folder / EXPERIMENT / "evaluation").iterdir():
        os.utime(file, (0, time.time() - 60))
    again = json.loads((copy.folder / EXPERIMENT / "records/evaluation.json").read_text())
    again["finished"] -= 1000
    (copy.folder / EXPERIMENT / "records/evaluation.json").write_text(json.dumps(again))
    said = copy.run("--dry-run")
    (command,) = re.findall(r"snakemake --cores 1 (--touch \S+)", said.stdout + said.stderr)
    copy.run(*command.split())
    assert copy.jobs() == {}


def test_a_file_below_an_unlisted_experiment_is_a_target(finished):
    jobs = finished.jobs("results/tiny/taylor_T0_30_words/analysis/gradient_diagnosis.json")
    assert jobs == {"importance": 1, "trial": 1, "diagnosis": 1}


def test_a_named_experiment(copy):
    named = {"mine": {"base": "taylor_T0_20_words", "settings": {"limits": {"max_rate": 0.6, "protect": [0]}}}}
    change_configuration(copy, experiments=named)
    copy.run("results/tiny/mine")
    rates = json.loads((copy.folder / "results/tiny/mine/analysis/pruning_summary.json").read_text())["layers"]
    assert rates[0]["rate"] == 0
    assert max(layer["mlp_rate"] for layer in rates) <= 0.6


def test_a_reference_is_built_as_far_as_its_perplexity(copy):
    change_configuration(copy, report={"reference": "taylor_T0_20_words"})
    measured = dict.fromkeys(("importance", "trial", "diagnosis", "pruning", "evaluation"), 1)
    assert copy.jobs(EXPERIMENT) == measured | {"before_after": 1, "page": 1, "track": 1}
    assert copy.jobs("results/tiny/taylor_T0_20_words") == CHEAP
    copy.run(EXPERIMENT)
    assert (copy.folder / EXPERIMENT / "visualization/before_after.png").is_file()
    drawn = (copy.folder / EXPERIMENT / "visualization/before_after.svg").read_text()
    assert "taylor_T0_20_words" in drawn and "perplexity: words w8" in drawn
    assert "visualization/before_after.png" in (copy.folder / EXPERIMENT / "README.md").read_text()
    assert not (copy.folder / "results/tiny/taylor_T0_20_words/README.md").exists()
    assert copy.jobs(EXPERIMENT) == {}
    # What the page and MLflow show of the reference is brought level with it.
    drawn = {"before_after": 1, "page": 1, "track": 1}
    assert copy.jobs("--forcerun", "before_after", "--", EXPERIMENT) == drawn


def test_an_unknown_reference_stops_before_anything_runs(copy):
    change_configuration(copy, report={"reference": "taylor_T0_20_word"})
    done = copy.run("--dry-run", EXPERIMENT, check=False)
    assert done.returncode != 0
    said = "report.reference = 'taylor_T0_20_word': unknown dataset 'word'"
    assert said in done.stdout + done.stderr
    assert "did you mean 'taylor_T0_20_words'" in done.stdout + done.stderr


def test_the_banner_says_what_is_cached_and_what_will_run(copy):
    done = copy.run("results/tiny/taylor_T1_20_words_n5/analysis/plan.json", "results/tiny/taylor_T0_30_words")
    banner = done.stderr[done.stderr.index("tiny / taylor_T0_30_words") :]
    assert re.search(r"cached +model, calibration, evaluation text, trial text, gradients, baseline", banner)
    assert re.search(r"\d+/\d+  \w.* \.\.\. \(about \d+ (s|min) left", done.stderr)
    assert re.search(r"perplexity +words w16 [\d.]+ -> [\d.]+ \(x", done.stderr)
    assert "Reason:" not in done.stderr and "--spec" not in done.stderr
    assert "prunescope run" in copy.run("--printshellcmds", "--forcerun", "page", "--", EXPERIMENT).stderr


def test_an_unreachable_ratio_stops_with_the_largest_one(copy):
    done = copy.run("--dry-run", "results/tiny/taylor_T0_30_words_max31", check=False)
    assert done.returncode != 0
    said = "tiny/taylor_T0_30_words_max31: method.ratio = 0.3 cannot be reached under limits.max_rate: at most 0.0"
    assert said in done.stderr + done.stdout


def test_too_little_text_says_how_much_there_is(copy):
    done = copy.run("results/tiny/taylor_T0_20_words_n5000", check=False)
    assert done.returncode != 0
    assert re.search(
        r"'words': the calibration text fills 80 windows of 16 tokens, 5000 were asked for", done.stderr + done.stdout
    )
    assert not list(copy.folder.glob("results/tiny/_shared/calibration/words_n5000*/samples.safetensors"))


def test_a_window_longer_than_the_model_is_refused_before_weights_are_loaded(copy):
    done = copy.run("results/tiny/taylor_T0_20_words_s65", check=False)
    assert "calibration.seq_len = 65: longer than the model's window; allowed: 8 to 64" in done.stderr + done.stdout


def test_a_checkpoint_that_is_gone_is_said_with_the_way_out(copy):
    shutil.rmtree(copy.folder / "tiny_model")
    done = copy.run("--dry-run", EXPERIMENT, check=False)
    assert "models.tiny.path = 'tiny_model': no config.json there" in done.stderr + done.stdout


def test_a_critical_diagnosis_can_stop_before_a_weight_is_cut(copy):
    strict = {"on_critical": "fail", "extreme_rate": 0.01, "early_layers": 4}
    change_configuration(copy, diagnosis=strict, trial={"enabled": False})  # which may find that the cut is right
    done = copy.run("results/tiny/taylor_T0_30_words", check=False)
    folder = copy.folder / "results/tiny/taylor_T0_30_words"
    assert done.returncode != 0
    assert "diagnosis.on_critical = fail" in done.stderr + done.stdout
    assert not (folder / "model").exists()
    assert (folder / "analysis/gradient_diagnosis.json").is_file()
    change_configuration(copy, diagnosis=strict | {"on_critical": "warn"})
    assert copy.jobs("results/tiny/taylor_T0_30_words") == {"pruning": 1, "evaluation": 1, "page": 1, "track": 1}


def test_the_card_says_what_was_measured_on_what(finished):
    folder = finished.folder / EXPERIMENT
    card = json.loads((folder / "evaluation/card.json").read_text())
    summary = json.loads((folder / "analysis/pruning_summary.json").read_text())
    assert card["pruning"]["removed_of_decoder"] == summary["ratio_of_decoder"] > card["pruning"]["removed_of_total"]
    assert card["pruning"]["removed_of_total"] == summary["ratio_of_total"]
    (samples,) = finished.folder.glob("results/tiny/_shared/calibration/*/samples.safetensors")
    (windows,) = finished.folder.glob("results/tiny/_shared/evaluation_text/*/windows.safetensors")
    assert card["calibration"]["sha256"] == tokens_sha256(load_file(samples)["input_ids"])
    assert "document_ids" not in json.dumps(card)
    words = card["evaluation"]["words"]
    assert {name: found["sha256"] for name, found in words["protocols"].items()} == {
        name.removeprefix("words/"): tokens_sha256(tokens) for name, tokens in load_file(windows).items()
    }
    assert (words["split"], words["leakage"], words["protocols"]["w12s4"]["bos"]) == ("test", "source", False)
    assert card["seeds"] == {"calibration": 0, "bootstrap": 0}
    assert {"gradients", "removal", "baseline", "evaluation"} <= set(card["compute"])
    assert card["versions"]["torch"]
    assert card["hardware"]["threads"] >= 1
    page = (folder / "README.md").read_text()
    assert f"w12s4 `{words['protocols']['w12s4']['sha256'][:16]}`" in page
    assert "No document is in both splits" in page


def test_gguf_files_are_made_before_they_are_measured(copy):
    evaluate_also(copy, efficiency={"prompt": 8, "generate": 2, "gguf": ["f16"]})
    if find_spec("llama_cpp"):
        made = {"gguf": 1, "gguf_baseline": 1, "efficiency": 1, "page": 1, "track": 1}
        assert copy.jobs(EXPERIMENT) == made
    else:
        done = copy.run("--dry-run", EXPERIMENT, check=False)
        assert "(evaluation.efficiency.gguf), needs llama.cpp, which is not installed" in done.stderr + done.stdout


def test_efficiency_is_measured_when_it_is_asked_for(copy):
    told = {"prompt": 8, "generate": 2, "batch_sizes": [1], "repeats": 2}
    evaluate_also(copy, efficiency=told)
    assert copy.jobs(EXPERIMENT) == {"efficiency": 1, "page": 1, "track": 1}
    copy.run(EXPERIMENT)
    assert copy.jobs(EXPERIMENT) == {}
    measured = json.loads((copy.folder / EXPERIMENT / "evaluation/efficiency.json").read_text())
    metrics = gather(copy.folder / EXPERIMENT).metrics
    size = measured["pruned"]["kv_cache_bytes_per_token"]
    assert metrics["speed/kv_cache_bytes_per_token"] == pytest.approx(size, rel=1e-5)
    assert "decode, tokens/s, batch 1" in (copy.folder / EXPERIMENT / "README.md").read_text()


@needs_lm_eval
def test_zero_shot_tasks_from_local_files_reach_page_and_tracking(copy):
    tasks = {"tasks": ["cats_and_dogs"], "task_dir": str(Path(__file__).parents[1] / "fixtures/zeroshot")}
    evaluate_also(copy, zeroshot=tasks)
    assert copy.jobs(EXPERIMENT) == {"zeroshot_baseline": 1, "zeroshot": 1, "page": 1, "track": 1}
    copy.run(EXPERIMENT)
    assert copy.jobs(EXPERIMENT) == {}
    folder = copy.folder / EXPERIMENT
    scores = json.loads((folder / "evaluation/zeroshot.json").read_text())
    assert scores["baseline"]["cats_and_dogs"].keys() == scores["pruned"]["cats_and_dogs"].keys() == {"acc", "acc_norm"}
    assert "| cats_and_dogs | acc |" in (folder / "README.md").read_text()
    metrics = gather(folder).metrics
    score = scores["pruned"]["cats_and_dogs"]["acc"]["value"]
    assert metrics["zeroshot/cats_and_dogs_acc"] == pytest.approx(score, rel=1e-5)


def evaluate_also(project, **sections):
    now = yaml.safe_load((project.folder / "config/config.yaml").read_text())["evaluation"]
    change_configuration(project, evaluation=now | sections)


def change_configuration(project, **change):
    file = project.folder / "config/config.yaml"
    content = yaml.safe_load(file.read_text()) | change
    file.write_text(yaml.safe_dump(content))
