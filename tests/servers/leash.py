"""Runs a command that dies with the process that asked for it: `python leash.py PARENT_PID COMMAND …`.

Called by tests/servers/process.py in front of every server, so that nothing outlives an interrupted test run; knows
nothing of the tests and imports none of their code.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the leash was on.
    if os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execvp(command[0], command)


main()
