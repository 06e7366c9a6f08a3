"""What CAPABILITY says in each state; only what is built and tested is said."""

from __future__ import annotations

from collections.abc import Iterable

from access.imap.table import LOGGED_IN, State

BASE = ("IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE")
AFTER_LOGIN = (
    "IDLE",
    "NAMESPACE",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "MULTIAPPEND",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "CONDSTORE",
    "STATUS=SIZE",
    "OBJECTID",
    "UTF8=ACCEPT",
)


def capabilities(
    state: State, *, starttls: bool, login: bool, mechanisms: Iterable[str], max_message: int
) -> tuple[str, ...]:
    """The names, in the order they are told."""
    if state in LOGGED_IN:
        return (*BASE, *AFTER_LOGIN, f"APPENDLIMIT={max_message}")
    doors = tuple(f"AUTH={name}" for name in mechanisms) if login else ("LOGINDISABLED",)
    return (*BASE, *(("STARTTLS",) if starttls else ()), *doors)
