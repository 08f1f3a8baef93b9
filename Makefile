# make help lists what there is; each target works as the first command on a fresh clone.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import ensurepip, ssl, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo help install train reproduce test test-all lint lock docs wheel browser clean
.DEFAULT_GOAL := demo

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## open the app on the model that comes with the project; so does make alone
	$(BIN)/python app_gradio.py

install: $(READY) ## the virtual environment with the locked packages

train: $(READY) ## train_flax.py, with ARGS="--source … --epochs …"
	$(BIN)/python train_flax.py $(ARGS)

reproduce: $(READY) ## all systems of the report: SOURCE=/path/to/kaggle, or SMOKE=1 to try every step in minutes
	$(BIN)/python benchmarks/reproduce.py $(if $(SMOKE),--smoke,--source "$(SOURCE)") $(ARGS)

test: lint browser ## every check but the slow tests: about 10 minutes
	@echo "Running the tests: about 10 minutes on two cores."
	$(BIN)/python -m pytest -m "not slow"

test-all: lint browser ## every check
	$(BIN)/python -m pytest

lint: $(READY) ## format, lint, import contract, types, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile

docs: $(READY) ## the documentation as a site in build/site, its notebook run; links that lead nowhere are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "See it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8001, then http://127.0.0.1:8001"

browser: $(READY) ## a Chromium for the browser tests: the one that is there, or Playwright's own
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 \
	|| $(BIN)/playwright install chromium >/dev/null 2>&1 \
	|| echo "No Chromium found or to be had: the browser tests will be skipped (install the package 'chromium')."

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No working Python 3.11, 3.12 or 3.13 with venv found; set PYTHON=/path/to/python3.12." >&2; exit 2; }
	@echo "Setting up $(VENV) for $$($(PYTHON) --version), once: up to $$(grep -c == requirements.lock) packages of" \
	"requirements.lock, 2 GB installed; 1 to 2 minutes on a fast line."
	@$(PYTHON) -m venv --clear $(VENV)
	@{ $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.lock \
	|| echo FAILED; } | awk '/^FAILED/ { failed = 1 } /^Installing/ { print "  installing them" } \
	/^(Collecting|Processing) / { if (++n % 50 == 0) print "  " n " fetched" } { fflush() } END { exit failed }'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

lock: $(READY) ## resolve requirements.lock anew for Python 3.11 to 3.13
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev --no-emit-index-url \
	--no-emit-find-links --upgrade --quiet --output-file requirements.lock pyproject.toml

wheel: $(READY) ## wheel and source distribution, in dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
