"""The character sets a SEARCH may be written in, and nothing else that Python calls a codec.

Called by the grammar; a name that is not here is answered NO [BADCHARSET] (RFC 9051 section 6.4.4).
"""

from __future__ import annotations

from access.imap.wire.codes import BADCHARSET
from access.imap.wire.refused import Refused

_CODECS = {
    "US-ASCII": "utf-8",  # clients say US-ASCII and send UTF-8
    "ASCII": "utf-8",
    "UTF-8": "utf-8",
    "ISO-8859-1": "cp1252",  # as web and mail clients mean it
    "ISO-2022-JP": "iso2022_jp",
    "SHIFT_JIS": "shift_jis",
    "EUC-JP": "euc_jp",
    "EUC-KR": "euc_kr",
    "GB2312": "gb2312",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "BIG5": "big5",
    "KOI8-R": "koi8_r",
    "KOI8-U": "koi8_u",
    **{f"ISO-8859-{part}": f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"WINDOWS-{page}": f"cp{page}" for page in range(1250, 1259)},
}


def codec_of(charset: str) -> str:
    """Python's name of the codec.  Raises `Refused` for a character set that is not spoken."""
    codec = _CODECS.get(charset.upper())
    if codec is None:
        raise Refused("That character set is not known here", status=b"NO", code=BADCHARSET)
    return codec


def decoded(text: bytes, codec: str) -> str:
    """`text` as characters.  Raises `Refused`."""
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        raise Refused("The search text is not in its character set", status=b"NO", code=BADCHARSET) from None
