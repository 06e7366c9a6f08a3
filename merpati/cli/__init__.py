"""The command line: `merpati …`.  The only part of the core that knows the services, because it starts them.

Each module holds one command or family; `main` is what the installed script calls.
"""

from merpati.cli.app import main

__all__ = ["main"]
