# `make verify` and `make test` each work as the very first command on a fresh checkout: they make .venv and install
# what is needed. PYTHON=... chooses the interpreter, ARGS=... passes options on (make verify ARGS="--property order").

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)

# Tests and proofs start hundreds of processes, each of which would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help verify quick test campaigns guest fuzz soak lint docs bench coverage clean install
.DEFAULT_GOAL := help

help:
	@echo "make verify    judge the text: every property, every revision, every gap (ARGS=... for options)"
	@echo "make quick     what a change of a step needs first: the goals, the tables, both engines, their names"
	@echo "make test      run the tests"
	@echo "make campaigns run those that take long and are left out of make test"
	@echo "make guest     kill the back-end of a Linux guest in QEMU, on either ring (ARGS=... for options)"
	@echo "make fuzz      hostile messages, rings and regions (ARGS=... for options)"
	@echo "make soak      ten minutes of kills on each ring, and what is leaked (ARGS=... for options)"
	@echo "make lint      style, types, import contracts, generated pictures, links of the documents"
	@echo "make docs      draw docs/diagrams anew, and write the generated parts of the documents"
	@echo "make bench     how fast recover answers, how the time of verify splits, how search grows with size"
	@echo "make coverage  run all tests and show which lines none of them reaches"

verify: $(STAMP)
	$(BIN)/vhost-inflight verify $(ARGS)

# One more than there are cores: a test with a guest mostly waits.
WORKERS := $(shell cores=$$(nproc 2>/dev/null || echo 1); echo $$((cores < 8 ? cores + 1 : 8)))

QUICK := tests/model tests/refimpl/split tests/refimpl/packed tests/refimpl/test_marks.py tests/meet/test_names.py \
	tests/meet/test_numbers.py tests/proofs/test_kits.py

quick: $(STAMP)
	$(BIN)/python -m proofs.challenges.selfcheck goals
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(QUICK) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

campaigns: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m campaign $(ARGS)

guest: $(STAMP)
	$(BIN)/vhost-inflight crash-test --guest --ring split --revision merged $(ARGS)
	$(BIN)/vhost-inflight crash-test --guest --ring packed --revision hardened $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.generated
	$(BIN)/python -m tools.links

docs: $(STAMP)
	$(BIN)/vhost-inflight diagrams --out docs/diagrams
	$(BIN)/python -m tools.generated --write

fuzz: $(STAMP)
	for target in codec connection ring region frontend stream oracle schedule proxy; do $(BIN)/python -m tools.fuzz $$target $(ARGS) || exit 1; done

soak: $(STAMP)
	for ring in split packed; do $(BIN)/python -m tools.soak $$ring $(ARGS) || exit 1; done

bench: $(STAMP)
	$(BIN)/python -m tools.bench $(ARGS)

coverage: $(STAMP)
	$(BIN)/python -m pytest -m '' --cov=vhost_inflight --cov=model --cov=proofs --cov=refimpl --cov=diagrams \
		--cov-branch --cov-report=term-missing:skip-covered $(ARGS)

install: $(STAMP)

clean:
	rm -rf $(VENV) build dist counterexamples .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		.coverage

# The first interpreter that is new enough; the recipe says what is missing, where something is.
$(STAMP): pyproject.toml constraints.txt
	@python=; for name in $(CANDIDATES); do \
		if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or later is needed; tried: $(CANDIDATES)." >&2; \
		echo "Install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments (Debian: apt-get install python3-venv)." >&2; \
		exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "making $(VENV) with $$($$python --version)"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "installing into $(VENV) (once, and again when pyproject.toml or constraints.txt changes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
