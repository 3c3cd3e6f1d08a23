# The four verbs are run, test, check and bench; each does its own set-up. `make help` lists everything.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LLAMA  := $(VENV)-llama
SOURCE := setup.cfg pyproject.toml proxy/__init__.py
QUIET  := --quiet --disable-pip-version-check
PIP    := $(BIN)/python -m pip $(QUIET)
LOCK   := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# A file's tests stay together, because they share programs that were started for them.
PARALLEL := --numprocesses=auto --dist=loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test test-long check format bench picture page-pictures doctor-picture env e2e-compose e2e-llama client-table lock clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

run: $(VENV)/runtime.stamp ## start the proxy on 127.0.0.1:8080 (ARGS='--config my.yaml' for your own configuration)
	@exec $(BIN)/llm-proxy serve $(ARGS)

test: $(VENV)/dev.stamp ## run the tests, on all cores (ARGS='tests/unit -k relay' for some of them)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-long: $(VENV)/dev.stamp ## run the tests with ten times as many generated cases
	LLM_PROXY_TESTS_LONG=1 $(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=long $(ARGS)

check: $(VENV)/dev.stamp ## lint, formatting, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_architecture.py

format: $(VENV)/dev.stamp ## put the code into its one format
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: $(VENV)/runtime.stamp ## measure the proxy beside nginx (needs gcc and nginx; ARGS='--runs 1 json')
	$(BIN)/python bench/run.py $(ARGS)

picture: $(VENV)/dev.stamp ## draw the dashboard's picture anew from some minutes of traffic (needs prometheus and chromium)
	$(BIN)/python -m tests.e2e.dashboard.picture $(ARGS)

page-pictures: $(VENV)/dev.stamp ## draw the pictures of the stream check anew (needs nginx and chromium)
	$(BIN)/python -m tests.e2e.stream_check_pictures

doctor-picture: $(VENV)/dev.stamp ## draw the picture of the doctor's report anew (needs caddy, nginx and chromium)
	$(BIN)/python -m tests.e2e.doctor_picture

client-table: $(VENV)/dev.stamp ## run the tests of all clients and write what they have shown into docs/clients.md
	mkdir -p build
	LLM_PROXY_CLIENT_RESULTS=build/clients.json $(BIN)/python -m pytest --quiet -m client tests/e2e
	$(BIN)/python -m tests.e2e.client_table build/clients.json

env: ## write .env with fresh secrets, for docker compose up (needs no more than Python)
	@PYTHONPATH=. $(PYTHON) config/make_env.py

e2e-compose: $(VENV)/dev.stamp ## run image and compose file on a Docker engine of its own (root on Debian; minutes)
	$(BIN)/python -m pytest -m compose tests/e2e/compose $(ARGS)

e2e-llama: $(VENV)/dev.stamp $(LLAMA)/stamp ## stream from a real model server, llama.cpp's (needs g++; compiled once, in minutes)
	$(BIN)/python -m pytest -m llama tests/e2e/llama $(ARGS)

lock: $(VENV)/dev.stamp ## move the locked requirements to the newest versions that setup.cfg allows
	$(LOCK) --upgrade --output-file requirements/runtime.txt setup.cfg requirements/build.in
	$(LOCK) --upgrade --output-file requirements/postgres.txt --extra postgres --constraint requirements/runtime.txt setup.cfg requirements/build.in
	$(LOCK) --upgrade --output-file requirements/dev.txt --extra dev --extra postgres --constraint requirements/runtime.txt setup.cfg requirements/build.in
	$(LOCK) --upgrade --output-file requirements/clients.txt requirements/clients.in
	$(LOCK) --upgrade --output-file requirements/llama-build.txt requirements/llama-build.in
	$(LOCK) --upgrade --output-file requirements/llama.txt requirements/llama.in

clean: ## remove all that these commands have made
	rm -rf $(VENV) $(VENV)-clients $(LLAMA) build dist bench/build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/e2e/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps tell what is installed; a second `make run` starts at once.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d, and 3.11 or newer is needed: say where one is with PYTHON=…" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: requirements/%.txt $(SOURCE) | $(VENV)/bin/python
	@echo "Installing $< into $(VENV) (only this once) …"
	@$(PIP) install --require-hashes --requirement $<
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Without pip's cache: it would give this slow build to whoever wants the same version, or a build made elsewhere to us.
$(LLAMA)/stamp: requirements/llama-build.txt requirements/llama.txt tests/e2e/llama/build.cmake
	@echo "Compiling a model server into $(LLAMA) (only this once) …"
	@$(PYTHON) -m venv --clear $(LLAMA)
	@$(LLAMA)/bin/python -m pip $(QUIET) install --require-hashes --requirement requirements/llama-build.txt
	@CMAKE_ARGS="'-DCMAKE_PROJECT_INCLUDE=$(CURDIR)/tests/e2e/llama/build.cmake'" \
		$(LLAMA)/bin/python -m pip $(QUIET) install --no-cache-dir --no-build-isolation --require-hashes --requirement requirements/llama.txt
	@touch $@
