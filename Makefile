# `make help` lists the targets.
SHELL := /bin/bash
PY := .venv/bin/python
# Bit-reproducible and quiet: one thread per process, no telemetry.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false
export DO_NOT_TRACK := 1
# Where it is set, each of the many processes of a launch, and of the tests, compiles our sources anew: 1.3 s of 3 (read-only
# folders do no harm, for Python then writes nothing).
unexport PYTHONDONTWRITEBYTECODE
# Of make grid. RLOO's rows, which the paper took from GiGPO, would not fit into its 90 minutes.
CELLS ?= glob([table1/*,table2/*],exclude=*_rloo)
SEEDS ?= 0,1,2
# Of make demo: the quickest of those that learn clearly (docs/results.md).
BENCHMARK ?= deepsearch
# Of make study: one of the sizes in studies/second.yaml.
HOURS ?= 8
# Of make tournament.
METHODS ?= glob(credit/*)

.DEFAULT_GOAL := help
.PHONY: help audit faults fuzz sbom setup setup-cluster setup-real setup-search setup-browser demo real grid study credit tournament repro test test-cluster test-real test-browser test-bench lint docs bench ui lock clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## make .venv with everything pinned (nothing to do when the pins have not changed)
	@bash scripts/setup.sh

setup-cluster: ## make .venv-cluster with vLLM, OpenRLHF, Ray and DeepSpeed for machines without a GPU (Linux x86_64, Python 3.11)
	@bash scripts/setup.sh cluster

setup-real: setup
	@bash scripts/setup_beside.sh real

setup-search: setup ## Optuna, for examples/search.py
	@bash scripts/setup_beside.sh search

setup-browser: setup
	@bash scripts/setup_browser.sh

demo: setup ## {GRPO, DAPO} × {EMPG off, full}, 2 seeds, at laptop scale: tables, figures, a report (BENCHMARK=alfworld, webshop)
	@$(PY) -m flows.demo benchmark=$(BENCHMARK)

real: setup-real ## a pretrained model, SmolLM2-135M-Instruct: warm start, GRPO with EMPG off and full, 2 seeds, table and report
	@$(PY) -m flows.real

grid: setup ## tables 1 and 2 at laptop scale, 3 seeds: 84 runs, about 90 minutes on 2 cores (CELLS="glob(table5/*)", SEEDS=0)
	@$(PY) -m flows.grid '+experiment=$(CELLS)' seed=$(SEEDS) scale=laptop

study: setup ## the registered study that can tell: EMPG's arms over many warm starts, controls, a verdict; goes on when given again (HOURS=2 for the short one)
	@$(PY) -m flows.study hours=$(HOURS)

credit: setup ## what steps were worth, and how well each method of credit assignment says so, on a run of each benchmark; says how long it takes (CREDIT="scale=smoke")
	@$(PY) -m flows.credit.study $(CREDIT)

tournament: setup ## each method of credit assignment on three benchmarks: 51 cells, 153 runs with three seeds (SEEDS=0 for one, METHODS="glob(credit/*_gigpo_*)"); says how long it takes
	@$(PY) -m flows.credit.tournament '+experiment=$(METHODS)' seed=$(SEEDS) scale=laptop

repro: setup ## the grid's tables, figures and report from results/grid (dvc repro): rebuilds what changed, never trains
	@mkdir -p .dvc/tmp/site/repo && chmod 700 .dvc/tmp/site # DVC's notes are pickles, which others may not write (SECURITY.md)
	@DVC_SITE_CACHE_DIR="$(CURDIR)/.dvc/tmp/site" PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m dvc repro

test: setup ## the tests, three at a time: some only wait (PYTEST_ARGS="-k …" to choose)
	@$(PY) -m pytest -n 3 --dist worksteal -q $(PYTEST_ARGS)

test-cluster: setup-cluster ## the tests that need the engines, in .venv-cluster
	@.venv-cluster/bin/python -m pytest -q -m cluster $(PYTEST_ARGS)

test-real: setup-real ## policy=local against transformers over SmolLM2 and Qwen2's vocabulary
	@$(PY) -m pytest -q -s -m real $(PYTEST_ARGS)

test-browser: setup-browser ## the report's and MLflow's pages in headless Chromium, which it installs where it may
	@$(PY) -m pytest -q -m browser $(PYTEST_ARGS)

test-bench: setup ## every benchmark of `make bench` once, at a small size
	@$(PY) -m pytest -q -m bench $(PYTEST_ARGS)

faults: setup ## 1,000 kills of runs and sweeps, which must change no byte, and scenarios: servers, disk, memory, clock, signals (FAULTS="kills --kills 200")
	@$(PY) -m tests.faults $(or $(FAULTS),kills sweeps scenarios)

fuzz: setup ## model outputs, overrides, damaged files and odd tensors by the million: nothing may crash, hang or grow (hours)
	@$(PY) -m tests.faults outputs overrides files tensors

lint: setup ## ruff, mypy, import floors
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

docs: ## the documentation as a site, site/index.html, which needs no network (strict: a broken link or anchor fails)
	@bash scripts/setup_apart.sh docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict # never --quiet, which counts no warning
	@echo "site/index.html; with its search: $(PY) -m http.server --bind 127.0.0.1 --directory site 8000"

sbom: setup ## bills of materials of what is installed and pinned, sbom/*.cdx.json (CycloneDX)
	@bash scripts/setup_apart.sh audit
	@bash scripts/sbom.sh

audit: ## known weaknesses of everything pinned, by PyPI's or OSV's data; says where these cannot be reached (exit code 3)
	@bash scripts/setup_apart.sh audit
	@.venv-audit/bin/python scripts/audit.py

bench: setup ## speed ratios, each pair measured side by side; writes benchmarks/results.json
	@$(PY) -m benchmarks

ui: setup ## pages of Prefect and of the trackers, of this folder's runs, on loopback only (PORT=8420, and those behind it)
	@$(PY) -m flows.ui $(if $(PORT),--port $(PORT))

lock: ## compile requirements/lock.txt from requirements/*.in (UPGRADE=1 takes the newest versions)
	@bash scripts/lock.sh

clean: ## remove runs, artifacts, reports and caches (asks first); keeps .venv
	@bash scripts/clean.sh

distclean: clean ## also remove .venv, .venv-cluster and .venv-docs
	@rm -rf .venv .venv-cluster .venv-docs .venv-audit .uv
