#!/bin/sh
# make setup: a virtual environment in .venv, the locked dependencies, and the `merpati` command.
# A second run with nothing changed ends at once; a changed lock or a moved checkout installs again.
set -eu
cd "$(dirname "$0")/../.."
. deploy/dev/common.sh

PYTHON_AT_LEAST=3.11
stamp=.venv/.stamp

# What the environment depends on; when this text is the stamp's, there is nothing to do.
wanted() {
    pwd -P
    cat requirements/dev.txt pyproject.toml deploy/dev/setup.sh | cksum
}

is_current() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ] && .venv/bin/python -c '' 2>/dev/null
}

# An environment that was moved with its checkout, or whose Python is gone, is made anew; any other is brought up to date.
is_usable() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 && grep -qF " $(pwd -P)/.venv" .venv/pyvenv.cfg && recent_enough .venv/bin/python
}

recent_enough() {
    [ "$("$1" -c 'import sys; print(sys.version_info >= tuple(map(int, sys.argv[1].split("."))))' "$PYTHON_AT_LEAST" 2>/dev/null)" = True ]
}

# Sets PYTHON: the caller's choice, or the first interpreter on PATH that is recent enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        recent_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python $PYTHON_AT_LEAST or newer."
        return
    fi
    for PYTHON in python3 python3.11 python3.12 python3.13 python3.14; do
        have "$PYTHON" && recent_enough "$PYTHON" && return
    done
    if have python3; then
        found="$(python3 --version 2>&1) is too old"
    else
        found="there is no python3 here"
        if apt_install python3 python3-venv && recent_enough python3; then
            PYTHON=python3
            return
        fi
    fi
    die "$found: Merpati needs Python $PYTHON_AT_LEAST or newer. Install one, or name it: make setup PYTHON=/path/to/python3"
}

can_make_environments() { "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; }

# Debian keeps ensurepip in a package of its own. Without root a pip that is already there does as well.
make_environment() {
    rm -rf .venv
    if can_make_environments || { apt_install "$(venv_package)" && can_make_environments; }; then
        "$PYTHON" -m venv .venv
    elif "$PYTHON" -m pip --version >/dev/null 2>&1 && "$PYTHON" -m venv --without-pip .venv; then
        say "no ensurepip; using the pip of $PYTHON instead"
        outer_pip=yes
    else
        die "$PYTHON cannot make virtual environments. On Debian: apt-get install $(venv_package)"
    fi
}

venv_package() { "$PYTHON" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'; }

pip() {
    if [ -n "${outer_pip:-}" ]; then
        "$PYTHON" -m pip --python .venv/bin/python "$@"
    else
        .venv/bin/python -m pip "$@"
    fi
}

install() {
    say "installing the locked dependencies into .venv ..."
    retry 3 pip --disable-pip-version-check install --quiet --require-hashes -r requirements/dev.txt ||
        die "pip could not install the dependencies (its words stand above). Is the package index reachable?"
    # The build tool is locked with the rest, so nothing unlocked is fetched to build the package itself.
    outer_pip=
    pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable . >"$CACHE/setup.log" 2>&1 || {
        cat "$CACHE/setup.log" >&2
        die "pip could not install merpati itself (its words stand above)."
    }
}

is_current && exit 0
[ -w . ] || die "$(pwd) cannot be written to, and .venv must stand in it."
lock Makefile
is_current && exit 0
find_cache
outer_pip=
is_usable || {
    find_python
    say "making .venv with $("$PYTHON" --version) ($PYTHON)"
    make_environment
}
rm -f "$stamp"
install
wanted >"$stamp"
say "ready: .venv/bin/merpati"
