# One command is the same here and in CI. `make setup` is what all others call first.
SHELL := /bin/bash
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14
PYTHON ?= $(firstword $(foreach each,$(CANDIDATES),$(shell $(each) -c 'import sys; sys.version_info >= (3, 11) and print("$(each)")' 2>/dev/null)))
UV_VERSION := 0.13.9
SECONDS := 60
CHECKOV_VERSION := 3.3.30
PILLOW_VERSION := 13.0.0
ZIZMOR_VERSION := 1.32.0
VERSION = $(shell $(BIN)/uv version --short)
BIN := .venv/bin
UV := $(BIN)/uv
IN_PARALLEL := --numprocesses auto
ENVIRONMENT := .venv
NO_SANDBOX := $(if $(filter 0,$(shell id -u)),--no-sandbox) # Chromium has none for root

include layers/python.mk # LAMBDA_PYTHON, and settings of pip

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check checkov workflows format lock dashboard events lambda-python dist bench memory cpu fuzz soak screenshots clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: .venv/ready ## Make .venv with everything that is needed

.venv/ready: pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found ($(CANDIDATES))" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setting up .venv with $$($(BIN)/python --version), a minute the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --frozen --quiet
	@touch $@

.venv-lambda/ready: lambda-python setup pyproject.toml uv.lock
	@UV_PROJECT_ENVIRONMENT=.venv-lambda $(UV) sync --frozen --quiet --python "$(LAMBDA_PYTHON)"
	@touch $@

demo: setup ## Deploy on this machine, play an hour of traffic, show the table
	$(BIN)/quota-monitor demo

test: setup check ## Run every check and test
	$(BIN)/pytest $(IN_PARALLEL)

test-fast: $(ENVIRONMENT)/ready ## Run unit, property and template tests, in ENVIRONMENT (.venv, or .venv-lambda for Lambda's Python)
	$(ENVIRONMENT)/bin/pytest $(IN_PARALLEL) tests/unit tests/property tests/template

check: setup ## Check code, types, the template and that nothing generated in it is stale
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m dashboard --check
	$(BIN)/sam validate --lint --region us-east-1

checkov: setup ## Check the template against checkov's rules, in an environment of its own
	$(BIN)/uv tool run --quiet --python $(BIN)/python checkov==$(CHECKOV_VERSION) \
		--framework cloudformation --file template.yaml --compact --quiet --skip-download

workflows: setup ## Check the workflows against zizmor's rules, in an environment of its own
	$(BIN)/uv tool run --quiet --python $(BIN)/python zizmor@$(ZIZMOR_VERSION) --offline --persona pedantic .github

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Lock the dependencies again, the functions' included
	$(BIN)/uv lock
	$(BIN)/uv export --frozen --only-group functions --no-emit-project --no-header --quiet -o layers/dependencies/requirements.txt
	$(BIN)/uv export --frozen --only-group registry --no-emit-project --no-header --quiet -o layers/core/requirements-build.txt

dashboard: setup ## Write dashboard/dashboard.yaml into template.yaml
	$(BIN)/python -m dashboard

events: setup ## Rebuild events/ from the readable records
	$(BIN)/quota-monitor events

lambda-python:
	@test -n "$(LAMBDA_PYTHON)" || { echo "a release holds .pyc files, which only Lambda's Python $(LAMBDA_PYTHON_VERSION) makes, and none was found: install it, or give LAMBDA_PYTHON=/path/to/it" >&2; exit 1; }

dist: lambda-python setup ## Build what a release consists of, into dist/: sam deploy takes the unpacked zip as it is
	$(BIN)/python -m dashboard --check
	rm -rf dist .aws-sam
	mkdir dist
	PYTHON=$(CURDIR)/$(BIN)/python LAMBDA_PYTHON="$(LAMBDA_PYTHON)" $(BIN)/sam build
	rm .aws-sam/build.toml # of this machine
	find functions -name __pycache__ -prune -exec rm -rf {} +
	$(BIN)/python -m zipfile --create dist/bedrock-quota-monitor-$(VERSION).zip \
		.aws-sam functions template.yaml samconfig.toml README.md LICENSE CHANGELOG.md
	$(BIN)/uv export --frozen --only-group functions --no-emit-project --format cyclonedx1.5 --quiet \
		--preview-features sbom-export --output-file dist/sbom.cdx.json
	cd dist && sha256sum *.zip sbom.cdx.json > SHA256SUMS
	$(BIN)/python tests/release.py dist/*.zip $(LAMBDA_PYTHON_VERSION)

bench: setup ## Measure all that docs/performance.md says, and write it there; five minutes
	@test -n "$(LAMBDA_PYTHON)" || echo "no Python $(LAMBDA_PYTHON_VERSION), Lambda's, is here: on $$($(BIN)/python --version) instead" >&2
	$(BIN)/uv run --isolated --frozen --quiet \
		--python "$(or $(LAMBDA_PYTHON),$(BIN)/python)" python -m benchmarks

memory: setup ## Measure the processor's peak memory on the worst deliveries there are
	$(BIN)/python -m benchmarks.memory

cpu: setup ## Search for the deliveries that cost the most CPU, and time them at 256 MB under Lambda's emulator; Linux
	$(BIN)/python -m benchmarks.cpu --lambda

fuzz: setup ## Fuzz what reads input, SECONDS for each target (60); Linux on x86-64
	PYTHONPATH=tests $(BIN)/uv run --isolated --frozen --group fuzz --python $(BIN)/python python -m fuzz --seconds $(SECONDS)

soak: setup ## Send a million records of all fates and a backlog through the deployed stack; 15 minutes
	SOAK_RECORDS=1000000 $(BIN)/pytest -q -s -p no:randomly tests/e2e/test_soak.py

screenshots: setup ## Take the README's picture of the dashboard after a demo; needs chromium
	$(BIN)/quota-monitor local down # another demo's hour would be drawn beside this one's
	$(BIN)/quota-monitor demo
	chromium --headless $(NO_SANDBOX) --disable-gpu --disable-quic --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --hide-scrollbars --window-size=1400,3714 --virtual-time-budget=20000 \
		--screenshot=docs/images/dashboard.png "$$($(BIN)/quota-monitor local dashboard)?model=anthropic.claude-sonnet-4-6&endpoint=cross-region"
	$(BIN)/uv run --quiet --isolated --no-project --python $(BIN)/python --with pillow==$(PILLOW_VERSION) python -c \
		'from PIL import Image; path = "docs/images/dashboard.png"; Image.open(path).convert("RGB").quantize(256, dither=0).save(path, optimize=True)'

clean: ## Remove what was made here
	rm -rf .venv .venv-lambda .aws-sam .localaws dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
