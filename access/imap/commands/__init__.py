"""One module a command or a family: reading, doing and answering stand together.  Importing this fills the table."""

from access.imap.commands import (
    append,
    copying,
    expunging,
    fetch,
    folders,
    idle,
    listing,
    login,
    searching,
    selecting,
    storing,
    talking,
)

__all__ = [
    "append",
    "copying",
    "expunging",
    "fetch",
    "folders",
    "idle",
    "listing",
    "login",
    "searching",
    "selecting",
    "storing",
    "talking",
]
