# Everything a newcomer needs: `make demo` and `make test` set up what they use.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The environment is stale when either file changes.
STAMP := $(VENV)/.ready-$(shell cat pyproject.toml requirements.lock 2>/dev/null | cksum | cut -d' ' -f1)
DEMO := results/SmolLM2-135M/taylor_T1_tau0_20_wiki
SECOND := results/SmolLM2-135M/gate_T0_20_wiki_max50
WORKERS ?= 2

export PATH := $(CURDIR)/$(BIN):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test faults test-compat bench lint ui reference docs docs-serve pictures screenshots clean help

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(STAMP):
	@command -v $(PYTHON) > /dev/null || { echo "Python 3.11 is needed ($(PYTHON) not found); set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	rm -f $(VENV)/.ready-*
	touch $@

demo: $(STAMP) ## prune the embedded model by 20 % and explain it
	snakemake --cores all $(DEMO)

test: $(STAMP) ## all tests
	python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

faults: $(STAMP) ## every step through every fault, and the table of both (half an hour)
	python -m pytest -m faults tests/faults

screenshots: $(STAMP) ## pictures of MLflow for the documentation, of taylor_T0_20_wiki and others in results/ (needs chromium)
	PRUNESCOPE_RESULTS=results PRUNESCOPE_SCREENSHOTS=docs/images python -m pytest tests/browser

# Written with transformers 5, loaded with the oldest version that is supported and without this package.
COMPAT := .venv-compat
COMPAT_NEEDS := tests/checkpoints/requirements.txt
COMPAT_STAMP := $(COMPAT)/.ready-$(shell cksum < $(COMPAT_NEEDS) | cut -d' ' -f1)

$(COMPAT_STAMP):
	$(PYTHON) -m venv --clear $(COMPAT)
	$(COMPAT)/bin/python -m pip install --quiet --disable-pip-version-check -r $(COMPAT_NEEDS)
	touch $@

test-compat: $(STAMP) $(COMPAT_STAMP) ## pruned checkpoints in transformers 4.57, without this package
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && python tests/checkpoints/make.py $$folder && \
	  PYTHONPATH= PRUNESCOPE_CHECKPOINTS=$$folder $(COMPAT)/bin/python -m pytest tests/checkpoints

bench: $(STAMP) ## time the engines against the naive way on this machine (half an hour on two cores)
	python benchmarks/engines.py

lint: $(STAMP) ## style of Python and Snakemake files, types
	ruff check workflow tests benchmarks docs
	ruff format --check workflow tests benchmarks docs
	snakefmt --check Snakefile workflow/rules
	mypy

ui: $(STAMP) ## MLflow on http://127.0.0.1, with the link to the runs table; MODEL=... for those of a model
	prunescope ui $(MODEL)

reference: $(STAMP) ## write config/README.md, the schema, docs/files.md, docs/cli.md and the picture of the rooms anew
	prunescope reference
	python docs/rooms.py

# Silences an advertisement of the theme's makers.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: $(STAMP) ## the documentation as a site in site/; a link that leads nowhere is an error
	mkdocs build --strict

docs-serve: $(STAMP) ## the same on http://127.0.0.1:8000, built again when a page changes
	mkdocs serve --dev-addr 127.0.0.1:8000

# The runs of docs/tutorial.md; minutes where they are not there yet.
pictures: $(STAMP) ## the pictures of the documentation, from real runs
	snakemake --cores all $(DEMO) $(SECOND)
	prunescope plot $(SECOND) before_after --reference $(notdir $(DEMO))
	cp $(addprefix $(DEMO)/visualization/,gradient_analysis.png pruning_rates.png importance_heatmap.png trials.png) docs/images
	cp $(SECOND)/visualization/before_after.png docs/images

# The rest of .snakemake is what Snakemake knows of the results: by which settings and inputs they were made.
clean: ## remove the environments and logs; results and resources stay
	rm -rf $(VENV) $(COMPAT) .snakemake/log logs
