"""The values of Content-Type and Content-Disposition: a word, and parameters with it.

Called by the MIME scanner; `parameter` also by whoever wants a file name or a charset.  Parameter values keep the form
that IMAP reports them in: continuations joined (RFC 2231 section 6), charset and percent signs left in place.  Never
raises; linear time.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from merpati.message.charset import decode_text
from merpati.message.comments import strip_comments
from merpati.message.encoded_words import decode_words

MAX_PARAMETERS = 100
"""Parameters (each piece of a continued one counts) of one field; the rest is not looked at."""

Parameters = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, a `*` at the end of the name of a value in RFC 2231 form; values without quotes."""

_TOKEN = rb"[^\x00-\x20()<>@,;:\\\"/\[\]?=\x7f-\xff]++"  # RFC 2045 section 5.1
_MEDIA_TYPE = re.compile(rb"\s*+(" + _TOKEN + rb")\s*+/\s*+(" + _TOKEN + rb")")
_DISPOSITION = re.compile(rb"\s*+(" + _TOKEN + rb")?")
# More than RFC 2045 grants: an unquoted value may hold specials, a quoted one may lack its end.
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"?|([^;]*+))', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_CONTINUED = re.compile(rb"([^*]+)(?:\*([0-9]{1,4}))?(\*)?")
_ATTRIBUTE_CHARS = "!#$&+-.^_`{|}~"  # RFC 2231 section 7, beside letters and digits
# Mailers leave the quotes away even where the name of a file has a space in it.
_MAY_HAVE_SPACES = (b"name", b"filename")


def read_media_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Type and subtype in lower case, and the parameters; None if it is no media type."""
    value = strip_comments(value)
    match = _MEDIA_TYPE.match(value)
    if match is None:
        return None
    return match[1].lower(), match[2].lower(), _read_parameters(value, match.end())


def read_disposition(value: bytes) -> tuple[bytes, Parameters]:
    """The disposition in lower case, and the parameters (RFC 2183).

    Without a word it is `attachment`, as an unknown one is to be read (RFC 2183 section 2.8).
    """
    value = strip_comments(value)
    match = _DISPOSITION.match(value)
    assert match is not None  # the pattern takes an empty string
    return (match[1] or b"attachment").lower(), _read_parameters(value, match.end())


def _read_parameters(value: bytes, at: int) -> Parameters:
    found: list[tuple[bytes, bytes]] = []
    continued = False
    for match in _PARAMETER.finditer(value, at):
        name, quoted, bare = match.groups()
        name = name.lower()
        if quoted is not None:
            found.append((name, _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
        else:
            bare = bare.strip()
            found.append((name, bare if name in _MAY_HAVE_SPACES else (bare.split(None, 1) or [b""])[0]))
        continued = continued or b"*" in name
        if len(found) >= MAX_PARAMETERS:
            break
    return _join(found) if continued else tuple(found)


def _join(found: list[tuple[bytes, bytes]]) -> Parameters:
    """RFC 2231 section 3: pieces `name*0`, `name*1` … are one value, whatever their order; it ends at a gap."""
    pieces: dict[bytes, dict[int, tuple[bool, bytes]]] = {}
    plain: list[tuple[bytes, bytes]] = []
    for name, value in found:
        match = _CONTINUED.fullmatch(name)
        if match is None or b"*" not in name:
            plain.append((name, value))
        else:
            pieces.setdefault(match[1], {}).setdefault(int(match[2] or 0), (match[3] is not None, value))
    for name, by_number in pieces.items():
        run: list[tuple[bool, bytes]] = []
        while (piece := by_number.get(len(run))) is not None:
            run.append(piece)
        # RFC 2231 section 4.1: extended and plain pieces may be mixed; joined they are one extended value.
        if any(extended for extended, _ in run):
            plain.append((name + b"*", b"".join(value if extended else _percent(value) for extended, value in run)))
        elif run:
            plain.append((name, b"".join(value for _, value in run)))
    return tuple(plain)


def _percent(value: bytes) -> bytes:
    return quote_from_bytes(value, safe=_ATTRIBUTE_CHARS).encode("ascii")


def parameter_bytes(parameters: Parameters, name: bytes) -> bytes | None:
    """The first parameter of this name as it stands."""
    return next((value for each, value in parameters if each == name), None)


def parameter(parameters: Parameters, name: bytes) -> str | None:
    """A parameter's text: of the RFC 2231 form if it is there (RFC 6266 section 4.3 says so for its twin in HTTP).

    Encoded words in a plain value are decoded too: against RFC 2047 section 5, and what most mailers send.
    """
    values = dict(reversed(parameters))
    extended = values.get(name + b"*")
    if extended is not None:
        charset, tick, rest = extended.partition(b"'")
        if tick and b"'" in rest:
            return decode_text(unquote_to_bytes(rest.partition(b"'")[2]), charset.decode("latin-1"))
        return decode_text(unquote_to_bytes(extended))
    plain = values.get(name)
    return None if plain is None else decode_words(plain)
