# Needs make, git and Python 3.11 or newer; everything else is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The first that runs and is new enough; a version manager's stub that only complains is passed over.
FIND_PYTHON = for python in python3.13 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& { echo "$$python"; break; }; \
	done

DEV_GROUP = import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/installed  ## a sample CRM, its KPIs and a report, in demo/
	$(BIN)/crmetrics demo demo

test: $(VENV)/installed-dev  ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/installed-dev  ## check format, style, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev  ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev  ## measure speed and memory
	$(BIN)/python -m benchmarks

docs: $(VENV)/installed-dev  ## rewrite the generated pages of docs/
	$(BIN)/python docs/generate.py

clean:  ## remove everything that make made
	rm -rf $(VENV) demo dist build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per level, so that a second call costs nothing until pyproject.toml changes.

$(BIN)/python:
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then echo "crmetrics needs Python 3.11 or newer on the PATH." >&2; exit 1; fi; \
	echo "Making $(VENV) with $$python"; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(PIP) install -e .
	@$(BIN)/python -m compileall -q core connectors metrics sinks  # as pip does with a wheel
	@touch $@

# pip 23 cannot install a dependency group by name.
$(VENV)/installed-dev: $(VENV)/installed
	@$(BIN)/python -c '$(DEV_GROUP)' > $(VENV)/dev.txt
	$(PIP) install -r $(VENV)/dev.txt
	@touch $@
