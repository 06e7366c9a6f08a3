# Where the tools keep their caches (outside the checkout), and how pytest is run. Sourced, after common.sh.
find_cache
RUFF_CACHE_DIR=$CACHE/ruff
MYPY_CACHE_DIR=$CACHE/mypy
HYPOTHESIS_STORAGE_DIRECTORY=$CACHE/hypothesis
# Compiled modules are kept even where the shell says otherwise: without them each of the many processes compiles anew.
unset PYTHONDONTWRITEBYTECODE
PYTHONPYCACHEPREFIX=$CACHE/compiled
export RUFF_CACHE_DIR MYPY_CACHE_DIR HYPOTHESIS_STORAGE_DIRECTORY PYTHONPYCACHEPREFIX

# Two workers; tests that share a heavy server stay together (loadgroup). Each run has a folder of its own for what its
# tests write: pytest's usual one is tidied by whichever run begins next.
run_pytest() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/merpati-tests-XXXXXX")
    verdict=0
    .venv/bin/python -m pytest -n "${WORKERS:-2}" --dist loadgroup --basetemp="$scratch/t" -o "cache_dir=$CACHE/pytest" "$@" || verdict=$?
    rm -rf "$scratch"
    return "$verdict"
}
