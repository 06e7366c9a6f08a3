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
rm -f "$CACHE/pytest/v/cache/lastfailed"  # of an earlier run
status=0
run_pytest --durations=15 "$@" || status=$?
[ "$status" -ne 0 ] || exit 0
# 1 is "tests failed"; anything else is no matter of a busy machine.
[ "$status" -eq 1 ] || exit "$status"
say "some tests failed (above); those once more, one at a time, to tell a fault from a machine that was too busy"
# xdist writes the group behind the name, and a run without it would not know the test
.venv/bin/python - "$CACHE/pytest/v/cache/lastfailed" <<'PYTHON'
import json, pathlib, re, sys
kept = pathlib.Path(sys.argv[1])
names = json.loads(kept.read_text())
kept.write_text(json.dumps({re.sub(r"@[\w-]+$", "", name): True for name in names}))
PYTHON
WORKERS=0 run_pytest --dist no --last-failed --last-failed-no-failures none "$@"
