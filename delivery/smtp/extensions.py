"""What a server says it can do, from its answer to EHLO (RFC 5321 section 4.1.1.1).

Called by the opening of a session; forgotten and asked for again after STARTTLS (RFC 3207 section 4.2).
"""

from __future__ import annotations

from msgspec import Struct

from delivery.smtp.replies import Reply


class Extensions(Struct, frozen=True, gc=False):
    """The extensions that the client uses."""

    pipelining: bool = False  # RFC 2920
    starttls: bool = False  # RFC 3207
    eightbit: bool = False  # RFC 6152
    smtputf8: bool = False  # RFC 6531
    dsn: bool = False  # RFC 3461
    auth: tuple[str, ...] = ()  # RFC 4954
    size: int = 0
    """The greatest message it takes; 0 if it names none (RFC 1870 section 4)."""
    wants_size: bool = False
    """Whether MAIL may tell the size."""


NONE = Extensions()
"""Of a server that knows HELO only."""


def extensions(reply: Reply) -> Extensions:
    """What the lines behind the first one offer."""
    offered: dict[str, list[str]] = {}
    for line in reply.lines[1:]:
        # `AUTH=PLAIN LOGIN` is how some servers wrote it before RFC 2554
        keyword, *parameters = line.upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        offered.setdefault(keyword, []).extend(parameters)
    return Extensions(
        pipelining="PIPELINING" in offered,
        starttls="STARTTLS" in offered,
        eightbit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        dsn="DSN" in offered,
        auth=tuple(dict.fromkeys(offered.get("AUTH", ()))),
        size=_size(offered.get("SIZE", [])),
        wants_size="SIZE" in offered,
    )


def _size(parameters: list[str]) -> int:
    text = parameters[0] if parameters else ""
    # RFC 1870 section 3: at most 20 digits
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0
