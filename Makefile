# Everything a developer types. The work is done by the scripts in deploy/dev.
.DEFAULT_GOAL := help
.PHONY: docs help setup servers check test demo bench world lock clean
PY := .venv/bin/python

help: ## say what the targets are
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="..." is passed on: make demo ARGS=--once, make test ARGS="tests/bus -x"'

setup: ## a virtual environment in .venv, the locked dependencies, .venv/bin/merpati
	@sh deploy/dev/setup.sh

servers: setup ## install the real servers and clients for the tests (Kafka, MinIO, SeaweedFS, Postfix ...)
	@sh deploy/dev/servers.sh

check: setup ## lint, types, shape and unit tests: in two minutes
	@sh deploy/dev/check.sh $(ARGS)

test: setup ## everything, on the real servers, which it installs first
	@sh deploy/dev/test.sh $(ARGS)

demo: setup ## one message along the whole way, shown hop by hop
	@.venv/bin/merpati demo $(ARGS)

bench: servers ## measure Merpati on both engines, with Postfix and Dovecot beside it
	@$(PY) -m tests.bench $(ARGS)

world: setup ## the seeded world with faults: make world ARGS="--seeds 1000"
	@$(PY) -m tests.world $(ARGS)

docs: setup ## write the pages that follow from the code: settings, metrics, the events' schema
	@$(PY) deploy/dev/pages.py $(ARGS)

lock: setup ## write requirements/*.txt anew: make lock ARGS=--upgrade
	@sh deploy/dev/lock.sh $(ARGS)

clean: ## remove .venv and what tools left in the checkout; the cache of servers stays
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
