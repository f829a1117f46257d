# Each target sets up what it needs: a .venv with exactly the packages of the lock file.
#   make demo        the whole workflow in minutes, on data that needs no download
#   make reproduce   the whole workflow on CIFAR-10 (CIFAR10_ARCHIVE=... if you have it)
#   make test        unit and workflow tests         make lint    style, types, workflow
#   make test-fast   the fast unit tests, for the loop while writing
#   make hooks       git hooks that run make lint and make test-fast
#   make test-browser   the pages in Chromium        make test-graders   old TensorFlows
#   make test-slurm  a sweep through a real Slurm that it installs (Debian, as root)
#   make bench       speed of the training step and of the optimizers against Keras
#   make bench-peer  score and time against TensorFlow Model Optimization (CIFAR-10)
#   make search      search the settings of a pruning round, on a finished run (hours)
#   make autograder  the zip for Gradescope (OUT=autograder.zip; docs/autograder.md)
#   make results     docs/results.md and docs/optimizers.md, from finished runs
#   make fuzz        damaged weights files against the scorer (half an hour)
#   make reliability kills, full disks, damage: the figures of docs/reliability.md (one to two hours)
#   make scaling     measures one and two workers here and simulates hundreds, from the run
#                    of config/frontier.yaml (docs/scaling.md)
#   make audit       known vulnerabilities of the locked packages (docs/security.md)
#   make schema      write schemas/config.schema.yaml and config/README.md from shears/config.py
#   make figures     the documents' pictures: the DAG, the report, a leaderboard
#   make docs        the documents and the library's API as one site, in docs/_build
#   make lock        compile the lock files again (needs uv)
# VERBOSE=1 shows everything that Snakemake, jobs and pip print.
# GPU=1 uses the lock with the CUDA libraries (.venv-gpu); PYTHON=... names the Python.

ifneq ($(words $(CURDIR)),1)
$(error Snakemake cannot run from a folder with a space in its path: move "$(CURDIR)")
endif

CORES ?= all
ifeq ($(GPU),1)
override VENV := .venv-gpu
override LOCK := envs/requirements-gpu.lock
else
override VENV := .venv
override LOCK := envs/requirements.lock
endif
override BIN := $(VENV)/bin
override READY := $(VENV)/installed

# Scripts name the folder of their environment: a clone that was moved or copied needs
# its own. So does one whose Python is gone.
INSTALLED := $(shell cat $(READY) 2>/dev/null)
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
ifneq ($(wildcard $(READY)),)
PLACE := $(shell sed -n 's/^command = .* //p' $(VENV)/pyvenv.cfg 2>/dev/null)
UNUSABLE := $(shell \
  if [ ! "$(PLACE)" -ef $(VENV) ]; then \
    echo "$(VENV) belongs to another place ($(PLACE)): this folder was moved or copied"; \
  elif ! $(BIN)/python -c '' 2>/dev/null; then \
    echo "$(BIN)/python does not run: the Python it was made with is gone"; \
  elif [ -n "$(PYTHON)" ] && asked=$$("$(PYTHON)" -c '$(VERSION)' 2>/dev/null) && \
      [ "$$asked" != "$$($(BIN)/python -c '$(VERSION)')" ]; then \
    echo "$(VENV) has another Python than $(PYTHON), which is $$asked"; \
  fi)
endif

# What pip prints stays in a file unless it fails: $(call quietly,FOLDER,COMMAND).
quietly = $(if $(VERBOSE),$(2),{ $(2); } >$(1)/pip.log 2>&1 || { cat $(1)/pip.log >&2; exit 1; })

.PHONY: always help env demo reproduce test test-fast hooks test-browser test-graders test-slurm lint bench bench-peer search autograder results reliability fuzz audit scaling schema figures docs lock
help:
	@sed -n 's/^#   //p' Makefile

env: $(READY)

# The marker is written last, so an interrupted installation starts again. Of two makes at
# once, one waits for the other's installation. In an activated environment, python3 is the
# one that is removed, so the Python it was made with takes its place.
$(READY): $(LOCK) $(if $(UNUSABLE),always)
	@if [ ! -w . ]; then \
	  echo "$(CURDIR): $$(id -un 2>/dev/null) may not write to this folder, and $(VENV) is installed" \
	    "in it: work in a copy of your own" >&2; exit 1; \
	fi; \
	$(if $(UNUSABLE),echo "$(UNUSABLE). Making $(VENV) again.";) \
	found=; \
	for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
	  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	    2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Shears needs Python 3.11, 3.12 or 3.13 (TensorFlow and Snakemake run on no other);" \
	    "found: $$("$(or $(PYTHON),python3)" --version 2>&1 | tail -n 1)" >&2; \
	  echo "Install one of them, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 1; \
	fi; \
	case $$(uname -sm) in "Linux x86_64"|"Linux aarch64"|"Darwin arm64") ;; *) \
	  echo "$(LOCK) has no packages for $$(uname -sm), only for Linux on x86_64 and" \
	    "aarch64 and macOS on arm64" >&2; exit 1 ;; esac; \
	"$$found" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' && \
	  found=$$("$$found" -c 'import sys; print(sys._base_executable)'); \
	exec 9>$(VENV).lock; \
	"$$found" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null; \
	after=$$(cat $(READY) 2>/dev/null); \
	if [ -n "$$after" ] && [ "$$after" != "$(INSTALLED)" ]; then exit; fi; \
	rm -rf $(VENV); \
	"$$found" -m venv $(VENV) || { \
	  echo "$$found cannot make a virtual environment; on Debian and Ubuntu:" \
	    "apt install python3-venv" >&2; exit 1; }; \
	echo "Installing the packages of $(LOCK) into $(VENV) (a few minutes, once)"; \
	$(call quietly,$(VENV),$(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes -r $(LOCK)) || exit 1; \
	echo "$$$$ $$(date)" >$@

demo: $(READY)
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml

reproduce: $(READY)
	$(BIN)/snakemake --cores $(CORES)

# In several processes, one more than there are processors, because the slow tests often
# wait, but at most four: each takes a gigabyte of memory. Few tests are handed out at a
# time, which keeps their order: fast ones first.
SIDE_BY_SIDE := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 4 \
  --maxschedchunk 2

test: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-fast: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" tests/unit tests/tools \
	  tests/display $(ARGS)

hooks: $(READY)
	$(BIN)/pre-commit install

$(VENV)/browser: envs/requirements-browser.lock $(READY)
	@$(call quietly,$(VENV),$(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes -r envs/requirements-browser.lock)
	@touch $@

test-browser: $(VENV)/browser
	$(BIN)/python -m pytest tests/browser $(ARGS)

test-graders: $(READY)
	$(BIN)/python -m pytest tests/graders $(ARGS)

test-slurm: $(READY)
	$(BIN)/python -m pytest tests/slurm $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pre-commit validate-config
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

bench: $(READY)
	$(BIN)/python -m tools.bench_training
	$(BIN)/python -m tools.bench_optimizers

# What needs other versions of packages has an environment of its own.
.venv-peer/installed .venv-audit/installed: .venv-%/installed: \
    envs/requirements-%.lock $(READY)
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	@$(call quietly,$(@D),$(@D)/bin/python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes -r $<)
	@touch $@

bench-peer: .venv-peer/installed
	$(BIN)/python -m tools.bench_peer --peer .venv-peer/bin/python $(ARGS)

search: $(READY)
	$(BIN)/python -m tools.search $(ARGS)

OUT ?= autograder.zip
autograder: $(READY)
	$(BIN)/python -m shears autograder $(OUT) $(ARGS)

results: $(READY)
	$(BIN)/python -m tools.write_results
	$(BIN)/python -m tools.write_optimizers

fuzz: $(READY)
	$(BIN)/python -m tools.fuzz $(ARGS)

# One lock file at a time, because they share packages. A package that cannot be looked up
# is a failure, too.
audit: .venv-audit/installed
	@green=yes; for lock in envs/*.lock; do \
	  echo "$$lock"; \
	  .venv-audit/bin/pip-audit --strict --disable-pip --require-hashes -r $$lock $(ARGS) || \
	    green=no; \
	done; [ $$green = yes ]

reliability: $(READY)
	$(BIN)/python -m tools.check_reliability $(ARGS)

scaling: $(READY)
	$(BIN)/python -m tools.scaling --measure
	$(BIN)/python -m tools.scaling $(ARGS)

schema: $(READY)
	$(BIN)/python -m tools.write_schema

figures: $(VENV)/browser
	$(BIN)/python -m tools.write_figures

$(VENV)/docs: envs/requirements-docs.lock $(READY)
	@$(call quietly,$(VENV),$(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --require-hashes -r envs/requirements-docs.lock)
	@touch $@

docs: $(VENV)/docs
	rm -rf docs/_build
	$(BIN)/sphinx-build -c docs -W --keep-going -n --quiet . docs/_build
	@echo "site: docs/_build/index.html"

# --only-binary :all:, which each .in file begins with, goes into the lock files: nothing
# is built on a user's machine. What has no wheel at all is in envs/wheels.
PINNED := --quiet --generate-hashes --no-header --no-emit-index-url --emit-build-options
COMPILE := uv pip compile $(PINNED) --universal --python-version 3.11
COMPILE_FOR := uv pip compile $(PINNED) --python-platform x86_64-manylinux_2_28 \
  --python-version
lock:
	$(COMPILE) --emit-find-links pyproject.toml envs/requirements.in -o envs/requirements.lock
	$(COMPILE) --emit-find-links pyproject.toml envs/requirements-gpu.in \
	  -o envs/requirements-gpu.lock
	$(COMPILE) envs/requirements-audit.in -o envs/requirements-audit.lock
	$(COMPILE) envs/requirements-peer.in -o envs/requirements-peer.lock
	$(COMPILE) envs/requirements-browser.in -o envs/requirements-browser.lock
	$(COMPILE) envs/requirements-docs.in -o envs/requirements-docs.lock
	$(COMPILE_FOR) 3.8 envs/graders/tensorflow-2.2.in -o envs/graders/tensorflow-2.2.lock
	$(COMPILE_FOR) 3.11 envs/graders/tensorflow-2.15.in -o envs/graders/tensorflow-2.15.lock
	$(COMPILE) --no-deps envs/graders/tf_keras.in -o envs/graders/tf_keras.lock
	$(COMPILE) -c envs/requirements.lock envs/graders/nbgrader.in -o envs/graders/nbgrader.lock
