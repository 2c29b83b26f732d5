# make run    set up if needed, sweep the premerge matrix, print the path of report.html
# make test   set up if needed, run the suites
# make check  set up if needed, ruff, mypy, import-linter
#
# Nothing here relies on an activated environment: every command is named by its path in .venv.
# PYTHON=python3.12      another interpreter (3.11 or newer)
# TORCH_INDEX=URL        one more package index for torch, such as that of its CPU builds
# ARGS='--budget 60'     further arguments of `parity run` (make run) or of pytest (make test)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/set-up.stamp
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
INTERPRETER := $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.DEFAULT_GOAL := run
.PHONY: run test check setup clean

run: $(STAMP)
	$(BIN)/parity run --tier premerge $(ARGS)

test: $(STAMP)
	$(BIN)/pytest suites/ -n auto $(ARGS)

# Every check runs even when an earlier one failed, so that one look shows everything.
check: $(STAMP)
	@status=0; \
	for check in "ruff check ." "ruff format --check ." "mypy" "lint-imports"; do \
		echo "$(BIN)/$$check"; $(BIN)/$$check || status=1; \
	done; \
	exit $$status

setup: $(STAMP)

# Done once, and again when what is installed may have changed.
$(STAMP): pyproject.toml constraints.txt
	@$(INTERPRETER) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "quant-parity needs Python 3.11 or newer, but $(INTERPRETER) is $$($(INTERPRETER) --version 2>&1)." \
			"Remove $(VENV) if it is there and name a newer one: make run PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH) -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[test,torchao,dev]' -c constraints.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
