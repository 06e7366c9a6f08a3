#!/bin/sh
# make test: the whole suite on the real servers. The last line is pytest's own summary, the exit status its status.
set -eu
cd "$(dirname "$0")/../.."
. deploy/dev/common.sh
. deploy/dev/tools.sh

began=$(date +%s)
sh deploy/dev/servers.sh || {
    # In CI a missing part is a failure, and better said now than after the suite.
    [ -z "${CI:-}" ] || die "a part that the tests need is missing (see above), and in CI nothing is skipped."
}
say "servers and clients ready after $(($(date +%s) - began)) s; now the suite"
run_pytest --durations=15 "$@"
