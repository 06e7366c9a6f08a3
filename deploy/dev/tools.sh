# Where the tools keep their caches (outside the checkout), and how pytest is run. Sourced, after common.sh.
find_cache
RUFF_CACHE_DIR=$CACHE/ruff
MYPY_CACHE_DIR=$CACHE/mypy
HYPOTHESIS_STORAGE_DIRECTORY=$CACHE/hypothesis
export RUFF_CACHE_DIR MYPY_CACHE_DIR HYPOTHESIS_STORAGE_DIRECTORY

# Two workers; tests that share a heavy server stay together (loadgroup).
run_pytest() {
    .venv/bin/python -m pytest -n 2 --dist loadgroup -o "cache_dir=$CACHE/pytest" "$@"
}
