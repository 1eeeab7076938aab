# `make run` and `make test` work from a fresh clone; everything is installed into .venv.
VENV := .venv
PY := $(VENV)/bin/python
BASE := scenarios/baseline.yaml
ARMS := scenarios/coupon.yaml scenarios/group_buy.yaml scenarios/referral.yaml scenarios/launch.yaml
REPLICATES ?= 6
WORKERS ?= 2

.PHONY: help run baselines check test test-fast lint docs bench forget-kernels clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

# The interpreter: $PYTHON if given, else what .python-version selects, else the first of the usual names that is new enough.
$(VENV)/.made:
	@for p in $(PYTHON) "$$(command -v pyenv >/dev/null && pyenv which python 2>/dev/null)" python3.13 python3.12 python3.14 python3; do \
	  [ -n "$$p" ] && "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && \
	  echo "making $(VENV) with $$("$$p" --version)" && "$$p" -m venv $(VENV) && break; done; \
	[ -x $(PY) ] || { echo "shopsim needs Python 3.12 or later, and none was found. Install one, or say: make run PYTHON=/path/to/python3.13" >&2; exit 2; }
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test]'
	@touch $@

$(VENV)/.docs-installed: $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[docs]'
	@touch $@

# An arm that breaks a guardrail is a finding here, and not a failure: compare ends with 1 then.
run: $(VENV)/.installed  ## compare the four schemes with doing nothing; prints the verdict, writes report.html
	$(VENV)/bin/shopsim compare $(BASE) $(ARMS) --replicates $(REPLICATES) --workers $(WORKERS) || [ $$? -eq 1 ]

baselines: $(VENV)/.installed  ## write results/baselines anew for the shipped scenarios
	@for s in $(BASE) $(ARMS); do $(VENV)/bin/shopsim baseline $$s --workers $(WORKERS) || exit 1; done

check: $(VENV)/.installed  ## do the shipped scenarios still come to what their baselines say?
	$(VENV)/bin/shopsim check --strict --workers $(WORKERS)

test: $(VENV)/.test-installed  ## the whole test suite
	NUMBA_NUM_THREADS=1 $(PY) -m pytest -q -n auto --dist worksteal

test-fast: $(VENV)/.test-installed  ## without the slow statistical and end-to-end tests
	NUMBA_NUM_THREADS=1 $(PY) -m pytest -q -n auto --dist worksteal -m 'not slow'

lint: $(VENV)/.test-installed  ## ruff, types, import rules
	$(VENV)/bin/ruff check sim agents experiments tests benchmarks
	$(VENV)/bin/ruff format --check sim agents experiments tests benchmarks
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.installed  ## speed and memory at 10k, 100k and 300k persons
	$(PY) benchmarks/speed.py

docs: $(VENV)/.docs-installed  ## the documentation site, into site/
	$(PY) -m sim.metrics > docs/metrics.md
	$(PY) -m sim.scenario.document > docs/parameters.md
	$(VENV)/bin/mkdocs build --strict --quiet

forget-kernels:  ## compile all kernels anew: numba does not notice a change in what a kernel calls from another file
	find sim agents experiments -name '*.nb[ic]' -delete

clean: forget-kernels  ## forget the environment and all results
	rm -rf $(VENV) results/runs site .pytest_cache .mypy_cache .ruff_cache .hypothesis
