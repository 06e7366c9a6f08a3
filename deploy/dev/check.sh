#!/bin/sh
# make check: what is quick enough for every save: lint, layout, types, the shape of the code, unit tests.
# Every step runs, whatever the one before it said; the status is 1 if any failed.
set -eu
cd "$(dirname "$0")/../.."
. deploy/dev/common.sh
. deploy/dev/tools.sh

# What mypy remembers of another state of the tree can make it miss attributes that are there: it may forget, once.
types() {
    .venv/bin/python -m mypy --no-error-summary >/dev/null 2>&1 || {
        rm -rf "$MYPY_CACHE_DIR"
        .venv/bin/python -m mypy --no-error-summary
    }
}

status=0
step() {
    title=$1
    shift
    began=$(date +%s)
    if "$@"; then verdict=ok; else verdict=FAILED status=1; fi
    say "$title: $verdict ($(($(date +%s) - began)) s)"
}

step 'ruff check' .venv/bin/ruff check --quiet .
step 'ruff format' .venv/bin/ruff format --quiet --check .
step 'mypy' types
WORKERS=3 # many a test waits more than it works
step 'shape and unit tests' run_pytest -q -m 'not live and not slow and not asyncio_loop' --deselect tests/shape/test_lint.py "$@"
exit $status
