# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.PHONY: help setup demo test nightly coverage lint docs exact bundles bench lock release clean

LOCKED = --upgrade --universal --no-strip-extras --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	--no-annotate --custom-compile-command "make lock"

# Tests start lab many times.  Without bytecode on the disk, Python would compile its modules each time.
test nightly coverage: export PYTHONDONTWRITEBYTECODE =

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the missing packages (as root or with sudo) and make the .venv
	@scripts/setup.sh

demo: ## Set up, then compare CUBIC and BBR; print the path of the report (BUNDLE=FILE: nothing is built; ENGINE=uml: fast)
	@scripts/demo.sh '$(BUNDLE)' '$(ENGINE)'

test: ## Set up, with what only tests need, then run the tests but those that `make nightly` adds
	@scripts/setup.sh tests
	.venv/bin/pytest -n auto --dist loadscope --durations=25

nightly: ## Run all tests, also those that take long, hundreds of repeated trials, and the known truths on every kernel; takes hours
	@scripts/setup.sh tests
	scripts/nightly.sh

coverage: ## Run the tests that need neither QEMU nor root; show which part of lab they cover, without agent and engines
	@scripts/setup.sh tests
	.venv/bin/pytest -n auto --dist loadscope -m "not vm and not live" --cov=lab --cov-branch

lint: setup ## Check formatting, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: setup ## Build the documentation site in site/; a broken link makes it fail
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

exact: setup ## Run a trial 200 times in User-mode Linux under many conditions; the records must be equal
	.venv/bin/python -m benchmarks.exactness

bundles: ## Run the same trials in a bare Debian 13, in a container and as other users; the records must be equal (as root)
	@scripts/setup.sh tests
	.venv/bin/pytest -v --nightly tests/e2e/test_bundles.py

bench: setup ## Measure speed, memory and the cost of tracing, and compare the engines with ns-3; write results to results/bench/
	.venv/bin/python -m benchmarks.run
	.venv/bin/python -m benchmarks.collectors
	.venv/bin/python -m benchmarks.tracing
	.venv/bin/python -m benchmarks.api
	.venv/bin/python -m benchmarks.reports
	.venv/bin/python -m benchmarks.grading
	.venv/bin/python -m benchmarks.engines
	.venv/bin/python -m benchmarks.ns3

lock: setup ## Pin the newest versions of dependencies that pyproject.toml allows
	.venv/bin/uv pip compile $(LOCKED) --extra pandas --group dev pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile $(LOCKED) --group release -o requirements-release.lock
	.venv/bin/uv pip compile $(LOCKED) --group setup -o requirements-setup.lock

release: setup ## Check version and changelog, make sdist and wheel in dist/, and check them; nothing is uploaded
	@scripts/release.sh

clean: ## Remove all files that make, the tests and Python generated; keep results and the cache
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
