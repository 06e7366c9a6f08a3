# What the scripts of this folder share: words for the reader, the cache, the lock, retries and apt-get.
# Sourced by the others, never run; leaves nothing in the checkout.

say() { printf '%s\n' "merpati: $*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# usable DIR: can this directory be made and written to?
usable() { mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }

# Sets CACHE, where downloads and built servers are kept. tests/servers/installed.py follows the same order.
find_cache() {
    if [ -n "${MERPATI_DEV_CACHE:-}" ]; then
        CACHE=$MERPATI_DEV_CACHE
    elif [ -n "${XDG_CACHE_HOME:-}" ]; then
        CACHE=$XDG_CACHE_HOME/merpati-dev
    elif [ -n "${HOME:-}" ] && usable "$HOME/.cache"; then
        CACHE=$HOME/.cache/merpati-dev
    else
        CACHE=${TMPDIR:-/tmp}/merpati-dev-$(id -u)
        say "HOME (${HOME:-not set}) cannot be written to: downloads are kept in $CACHE instead."
        # A name in a shared folder can be somebody else's trap: it must be ours alone.
        (umask 077 && mkdir -p "$CACHE") 2>/dev/null
        PIP_CACHE_DIR=$CACHE/pip
        export PIP_CACHE_DIR
        [ -O "$CACHE" ] || die "$CACHE belongs to somebody else. Set XDG_CACHE_HOME to a directory of your own."
    fi
    usable "$CACHE" || die "cannot write to $CACHE. Set XDG_CACHE_HOME to a directory that you may write to."
    CACHE=$(cd "$CACHE" && pwd)
    MERPATI_DEV_CACHE=$CACHE
    export MERPATI_DEV_CACHE
}

# lock FILE: wait for our turn; held until the script ends. FILE must exist or be ours to create.
lock() {
    have flock || return 0
    [ -e "$1" ] || : >>"$1"
    exec 9<"$1"
    flock -n 9 && return 0
    say "another run is busy here; waiting for it ..."
    flock 9
}

# retry COUNT COMMAND...: downloads fail now and then.
retry() {
    retry_left=$1
    shift
    until "$@"; do
        retry_left=$((retry_left - 1))
        [ "$retry_left" -gt 0 ] || return 1
        say "failed: $1; trying again in 5 s"
        sleep 5
    done
}

# at_least WANTED GIVEN: is the version GIVEN (1.19, 17.0.15) not older than WANTED?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

not_installed() {
    for package; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
        *" ok installed") ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

# apt_install PACKAGE...: install what is missing, or say in words what to install. Starts no daemon, removes no package.
apt_install() {
    have dpkg-query && have apt-get || {
        say "there is no apt-get here. Please install: $*"
        return 1
    }
    apt_wanted=$(not_installed "$@")
    [ -n "$apt_wanted" ] || return 0
    as_root true || {
        say "missing: $apt_wanted"
        say "this user is not root and sudo asks for a password. Please run: sudo apt-get install $apt_wanted"
        return 1
    }
    say "installing with apt-get: $apt_wanted"
    apt_guard
    # A mail server that somebody already runs here is not ours to replace: --no-remove.
    # shellcheck disable=SC2086
    { apt_quietly update && apt_quietly install --yes --no-install-recommends --no-remove $apt_wanted; } ||
        { sleep 5 && apt_quietly update && apt_quietly install --yes --no-install-recommends --no-remove $apt_wanted; } || {
        apt_unguard
        say "apt-get could not install: $apt_wanted (its words stand above)"
        return 1
    }
    apt_unguard
}

apt_quietly() {
    apt_log=$CACHE/apt.log
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=300 "$@" >"$apt_log" 2>&1 && return 0
    tail -n 20 "$apt_log" >&2
    return 1
}

# While packages are unpacked policy-rc.d tells them not to start their daemons; an existing one is left as it is.
apt_guard() {
    apt_policy=/usr/sbin/policy-rc.d
    apt_guarded=
    [ -e "$apt_policy" ] && return 0
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$apt_policy" >/dev/null && as_root chmod 755 "$apt_policy"
    apt_guarded=yes
    trap 'apt_unguard' EXIT
    trap 'exit 130' INT TERM HUP
}

apt_unguard() {
    [ -n "${apt_guarded:-}" ] || return 0
    as_root rm -f /usr/sbin/policy-rc.d
    apt_guarded=
    trap - EXIT INT TERM HUP
}
