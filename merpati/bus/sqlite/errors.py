"""The door through which SQLite's exceptions leave: a log that is locked, full, broken or gone is `Unavailable`.

Called by the writer and the readers around everything they do.  A programming error is passed on as the bug it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from merpati.errors import Unavailable

BUGS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)


def mapped(error: Exception, path: Path) -> Exception:
    """`error` as the rest of the project knows it."""
    if isinstance(error, BUGS):
        return error
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return Unavailable("the event log cannot be used", path=str(path), error=name, says=str(error))
    if isinstance(error, OSError):
        return Unavailable("the event log cannot be used", path=str(path), error=type(error).__name__, says=str(error))
    return error


@contextlib.contextmanager
def door(path: Path) -> Iterator[None]:
    """Raises what goes wrong inside as `mapped` says."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        known = mapped(error, path)
        if known is error:
            raise
        raise known from error
