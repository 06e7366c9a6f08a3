"""Octets to text by the name of a charset that a stranger wrote.

Called wherever a message names a charset.  Never raises: an unknown charset is read as UTF-8 and what does not fit
becomes U+FFFD.  Python's own look-up by name is not used on what comes from the network: it imports modules by that
name, remembers every miss for good, and knows codecs that are no charsets (`zlib`, `punycode`, quadratic `idna`).
"""

from __future__ import annotations

import re
from encodings.aliases import aliases

_NO_CHARSETS = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_NO_CHARSETS |= {"mbcs", "oem"}  # exist on another system only

_SQUEEZE = re.compile(r"[^a-z0-9]+")


def _squeeze(name: str) -> str:
    return _SQUEEZE.sub("", name.lower())


_CODECS = {_squeeze(codec): codec for codec in set(aliases.values()) - _NO_CHARSETS}
_CODECS |= {_squeeze(alias): codec for alias, codec in aliases.items() if codec not in _NO_CHARSETS}
_CODECS |= {f"x{name}": codec for name, codec in _CODECS.items() if name in ("sjis", "eucjp", "gbk", "macroman")}
_CODECS |= {
    # What mail calls ISO-8859-1 and US-ASCII is Windows-1252 in practice; the WHATWG encoding standard reads it so.
    "iso88591": "cp1252",
    "latin1": "cp1252",
    "usascii": "utf_8",
    "ascii": "utf_8",
    "unknown8bit": "utf_8",
    "iso88598i": "iso8859_8",
    "iso88596i": "iso8859_6",
    "ksc56011987": "cp949",
    "gb2312": "gb18030",
    "windows31j": "cp932",
    "xgbk": "gb18030",
}
for _page in (874, *range(1250, 1259)):
    _CODECS |= {f"windows{_page}": f"cp{_page}", f"xcp{_page}": f"cp{_page}"}


def codec_of(charset: str) -> str | None:
    """Python's name of a charset; None if it is unknown."""
    return _CODECS.get(_squeeze(charset[:64]))


def decode_text(octets: bytes, charset: str = "utf-8") -> str:
    """The text of octets in a charset, U+FFFD where they do not fit."""
    codec = codec_of(charset) or "utf_8"
    return octets.decode(codec, "replace")
