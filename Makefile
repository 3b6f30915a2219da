# What a person does with this repository; `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SONG ?=
INSTRUMENT ?= drums
# Spinning OpenMP threads on a busy machine make every step several times slower.
export OMP_WAIT_POLICY := PASSIVE
# Most of a short command's time is compiling what Python may not keep.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-dev demo serve test test-all check format audit lock train-smoke bench bench-quick bench-peers bench-onnx bench-librosa bench-guard clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.venv/uv: locks/uv.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/uv.txt
	@touch $@

.venv/core: .venv/uv locks/core.txt pyproject.toml
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r locks/core.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

.venv/dev: .venv/uv locks/dev.txt pyproject.toml
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r locks/dev.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@ .venv/core

setup: .venv/core ## make .venv with what running needs
setup-dev: .venv/dev ## make .venv with what testing and developing need

demo: .venv/core ## play along with a song: make demo [SONG=any.wav] [INSTRUMENT=drums]
	@$(BIN)/python -m gigmate.demo $(if $(SONG),--song "$(SONG)") --instrument $(INSTRUMENT)

serve: .venv/core ## the live server and its page on http://127.0.0.1:8765
	$(BIN)/python serve.py

test: .venv/dev ## the quick lane (under 5 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

test-all: .venv/dev ## the long lane: README commands, multirun, resume, bad inputs (under 20 minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup -m slow

check: .venv/dev ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: .venv/dev ## reformat and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: .venv/uv ## known vulnerabilities of what the locks install, as far as PyPI answers
	$(BIN)/python tests/audit_locks.py

lock: .venv/uv ## resolve the dependencies anew (versions and hashes, no addresses)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --upgrade --extra dev pyproject.toml -o locks/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --constraint locks/dev.txt --extra live pyproject.toml -o locks/core.txt
	echo uv | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url - -o locks/uv.txt

train-smoke: .venv/core ## prepare a few practice songs and train some steps
	$(BIN)/python train.py experiment=smoke

BENCH_PARTS := decode variants parts quality startup growth preparation training

bench: .venv/dev ## every figure of experiments/004_speed (half an hour, on a quiet machine)
	for part in $(BENCH_PARTS) length; do $(BIN)/python -m experiments.speed.$$part || exit; done
	$(BIN)/python -m experiments.speed.decode --threads 2
	$(BIN)/python -m experiments.bench
	$(BIN)/python -m experiments.bench --threads 2

bench-quick: .venv/dev ## the same without the hour-long song and two threads (a quarter of an hour)
	for part in $(BENCH_PARTS) "length --longest 600"; do $(BIN)/python -m experiments.speed.$$part || exit; done
	$(BIN)/python -m experiments.bench

bench-peers: .venv/dev ## fetch the peers of `make bench`; without their dependencies, which pin older versions
	$(BIN)/uv pip install -q --no-deps --target .venv/peers audiocraft==1.3.0 moshi==0.2.13

bench-onnx: .venv/dev ## fetch onnxruntime for `make bench`, away from what GigMate needs
	$(BIN)/uv pip install -q --python $(BIN)/python --target .venv/onnx onnxruntime==1.32.0 onnxscript==0.7.2

bench-librosa: .venv/dev ## fetch librosa for the tables of experiments/005_live_tracker, as far as .venv lacks it
	$(BIN)/uv pip install -q --no-deps --python $(BIN)/python --target .venv/librosa librosa==0.11.0 numba==0.68.1 \
		llvmlite==0.50.0 audioread==3.1.0 lazy-loader==0.6 pooch==1.9.0 msgpack==1.2.4 scikit-learn==1.9.1 \
		decorator==5.3.1 joblib==1.6.0 threadpoolctl==3.8.0 soxr==1.1.0 platformdirs==4.14.7

bench-guard: .venv/core ## fail if a fast path has lost a fifth of its lead over the plain one (a minute)
	$(BIN)/python -m experiments.speed.guard

clean: ## remove what runs and tests left; keeps .venv
	rm -rf runs outputs multirun reports build *.egg-info .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
