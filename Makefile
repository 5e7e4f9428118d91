# `make sample` and `make test` are the two commands of a fresh machine; both build .venv on first use.
PYTHON ?= python3
VENV   ?= .venv
OUT    ?= out/molecules
EXTRAS ?= dev,metrics,energy,shapes,diffusers
# Not run by `bench`: what others are compared with, the rebuild of the package's reference, what needs data sets or fine-tunes for minutes.
NOT_RUN = alignment cloud_generation completion egnn gfn2_optima mesh_quality molecule_reference reconstruction refine_calibration refine_quality solver_peers tilted unpaired_bridge
BENCHMARKS ?= $(filter-out __init__ $(NOT_RUN),$(basename $(notdir $(wildcard benchmarks/*.py))))
BIN     = $(VENV)/bin
PIP     = $(BIN)/pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: sample test test-slow lint bench clean

sample: $(VENV)/.core
	$(BIN)/scigen sample molecules --n 100 --out $(OUT)

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check scigen tests benchmarks cli.py
	$(BIN)/mypy

bench: $(VENV)/.dev
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) build dist out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and pinned: left to the resolver it brings gigabytes of CUDA libraries.
$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e ".[$(EXTRAS)]"
	touch $@
