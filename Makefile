# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint docs bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: packages (root or sudo) and the .venv
	@scripts/setup.sh

demo: setup ## Set up, then compare CUBIC and BBR; prints where the report is
	.venv/bin/lab run experiments/cubic_vs_bbr.yaml

test: setup ## Set up, then run the whole test suite
	.venv/bin/pytest -n auto --dist loadgroup --durations=25

coverage: setup ## Run the tests that need neither QEMU nor root, and show what of lab they reach (agent and engines aside)
	.venv/bin/pytest -n auto --dist loadgroup -m "not vm and not live" --cov=lab --cov-branch

lint: setup ## Check format, style and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

docs: setup ## Build the documentation site in site/; a broken link fails it
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

bench: setup ## Measure speed, memory and what tracing costs; results go to results/bench/
	.venv/bin/python -m benchmarks.run
	.venv/bin/python -m benchmarks.collectors
	.venv/bin/python -m benchmarks.tracing

lock: setup ## Pin the newest dependencies that pyproject.toml allows (needs uv)
	uv pip compile --upgrade --universal --generate-hashes --python-version 3.11 --extra dev --no-emit-index-url \
		--no-emit-find-links --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove what make, the tests and Python left here; results and the cache stay
	rm -rf .venv build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
