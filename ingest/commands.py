"""What stands behind MAIL, RCPT, BDAT and EHLO, as values.  Called by the session, parse once, here.

Pure.  Whatever is wrong raises `BadCommand` (or `BadAddress`) with the reply; the client's words are never repeated.
"""

from __future__ import annotations

import re

import msgspec

from merpati.errors import Permanent
from merpati.events import Recipient
from merpati.message.addresses import Address, BadAddress, read_path
from merpati.message.xtext import BadXtext, decode_utf8_xtext, decode_xtext

MAX_ENVID = 100
"""RFC 3461 section 4.4."""
MAX_ORCPT = 500
"""RFC 3461 section 4.2."""
MAX_HELO = 255
MAIL_EXTRA = 26 + 17 + 10 + 500 + 116
"""What SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954) and DSN (RFC 3461) add to MAIL."""
RCPT_EXTRA = 500 + 28
"""What ORCPT and NOTIFY (RFC 3461 section 5) add to RCPT."""


class BadCommand(Permanent):
    """A command that is not as its RFC has it."""

    code = 501
    enhanced = "5.5.4"


class MailFrom(msgspec.Struct, frozen=True):
    """MAIL, read."""

    sender: str
    """Empty for `<>`."""
    size: int = 0
    body: str = ""
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    has_parameters: bool = False


class RcptTo(msgspec.Struct, frozen=True):
    """RCPT, read."""

    address: Address
    recipient: Recipient
    has_parameters: bool = False


# RFC 5321 section 4.1.2: esmtp-keyword, esmtp-value (with `=`, which some clients leave in)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-~\u00a0-\U0010ffff]+))?")
_ORCPT = re.compile(r"([A-Za-z0-9-]{1,40});(.+)", re.DOTALL)
_BDAT = re.compile(r"(\d{1,20})(?: (LAST))?", re.IGNORECASE | re.ASCII)
# Names with underscores and names without dots are common enough; what matters is that it can stand in a field of ours
_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[A-Za-z0-9.:]+\]")
_NOTIFY = {"NEVER", "SUCCESS", "FAILURE", "DELAY"}


def parse_mail(argument: str) -> MailFrom:
    """`FROM:<path> parameters` (RFC 5321 section 4.1.1.2).  Raises `BadCommand` or `BadAddress`."""
    if not argument.isascii() and " SMTPUTF8" not in argument.upper():
        raise _needs_smtputf8()
    raw = _behind("FROM:", argument)
    try:
        address, end = _path(raw, postmaster=False)
    except BadAddress as bad:
        raise BadAddress(bad.public, enhanced="5.1.7") from None
    given = _parameters(raw[end:])
    smtputf8 = given.pop("SMTPUTF8", None)
    if smtputf8 is None and not raw[:end].isascii():
        raise _needs_smtputf8()
    if smtputf8:
        raise BadCommand("SMTPUTF8 takes no value")
    mail = MailFrom(
        sender=str(address) if address is not None else "",
        size=_size(given.pop("SIZE", None)),
        body=_one_of("BODY", given.pop("BODY", None), ("7BIT", "8BITMIME")),
        smtputf8=smtputf8 is not None,
        ret=_one_of("RET", given.pop("RET", None), ("FULL", "HDRS")),
        envid=_envid(given.pop("ENVID", None)),
        has_parameters=end < len(raw),
    )
    # RFC 4954 section 5: AUTH=<> or a mailbox; no client is trusted to say it, so it is read and forgotten
    if "AUTH" in given:
        _xtext("AUTH", given.pop("AUTH"))
    _refuse_unknown(given)
    return mail


def parse_rcpt(argument: str, *, smtputf8: bool) -> RcptTo:
    """`TO:<path> parameters` (RFC 5321 section 4.1.1.3).  Raises `BadCommand` or `BadAddress`."""
    raw = _behind("TO:", argument)
    if not smtputf8 and not raw.isascii():
        raise _needs_smtputf8()
    address, end = _path(raw, postmaster=True)
    if address is None:
        raise BadAddress("recipient is empty")
    given = _parameters(raw[end:])
    recipient = Recipient(
        address=str(address),
        notify=_notify(given.pop("NOTIFY", None)),
        orcpt=_orcpt(given.pop("ORCPT", None)),
    )
    _refuse_unknown(given)
    return RcptTo(address, recipient, end < len(raw))


def parse_bdat(argument: str) -> tuple[int, bool]:
    """`chunk-size [LAST]` (RFC 3030 section 2): octets that follow, whether they are the last."""
    match = _BDAT.fullmatch(argument)
    if match is None:
        raise BadCommand("BDAT needs a size, and LAST at the end")
    return int(match[1]), match[2] is not None


def check_helo(name: str) -> str:
    """The argument of HELO, EHLO or LHLO: a domain or an address literal (RFC 5321 section 4.1.3)."""
    if len(name) > MAX_HELO or not _HELO.fullmatch(name):
        raise BadCommand("not a host name")
    return name


def _behind(keyword: str, argument: str) -> bytes:
    if argument[: len(keyword)].upper() != keyword:
        raise BadCommand(f"{keyword}<address> is needed")
    # RFC 5321 section 3.3 has no space behind the colon; so many clients put one that everybody takes it
    return argument[len(keyword) :].lstrip(" ").encode("utf-8", "surrogateescape")


def _path(raw: bytes, *, postmaster: bool) -> tuple[Address | None, int]:
    if raw[:1] != b"<" and raw[:1] not in (b"", b'"'):
        # RFC 5321 section 4.1.2 wants brackets; printers and scripts leave them away, and Postfix lets them
        word = raw.partition(b" ")[0]
        address, end = read_path(b"<" + word + b">", smtputf8=True, postmaster=postmaster)
        if end != len(word) + 2:
            raise BadAddress("bad address")
        return address, len(word)
    return read_path(raw, smtputf8=True, postmaster=postmaster)


def _needs_smtputf8() -> BadAddress:
    return BadAddress("address needs SMTPUTF8", code=553, enhanced="5.6.7")  # RFC 6531 section 3.5


def _parameters(rest: bytes) -> dict[str, str]:
    """Name in upper case to value (empty if there is none)."""
    if not rest:
        return {}
    if not rest.startswith(b" "):
        raise BadCommand("a space is missing behind the address")
    given: dict[str, str] = {}
    for word in rest.decode("utf-8", "surrogateescape").split():
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in given:
            raise BadCommand("malformed parameter")
        given[match[1].upper()] = match[2] or ""
    return given


def _refuse_unknown(given: dict[str, str]) -> None:
    if given:
        raise BadCommand("parameter not known", code=555)  # RFC 5321 section 4.1.1.11


def _size(value: str | None) -> int:
    if value is None:
        return 0
    if not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise BadCommand("SIZE must be a number")
    return int(value)


def _one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str:
    if value is None:
        return ""
    if value.upper() not in allowed:
        raise BadCommand(f"{name} must be {' or '.join(allowed)}")
    return value.upper()


def _xtext(name: str, value: str) -> str:
    """Decoded xtext (RFC 3461 section 4).

    Section 4.4 allows white space in it; refused here: it is not worth a word that could be taken for two.
    """
    try:
        text = decode_xtext(value.encode("utf-8", "surrogateescape"))
    except BadXtext:
        raise BadCommand(f"{name} is not xtext") from None
    if " " in text:
        raise BadCommand(f"{name} holds white space")
    return text


def _envid(value: str | None) -> str:
    if value is None:
        return ""
    if len(value) > MAX_ENVID:
        raise BadCommand("ENVID too long")
    return _xtext("ENVID", value)


def _notify(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    words = tuple(value.upper().split(","))
    # RFC 3461 section 4.1: NEVER stands alone
    if not _NOTIFY.issuperset(words) or len(set(words)) < len(words) or ("NEVER" in words and len(words) > 1):
        raise BadCommand("NOTIFY must be NEVER, or some of SUCCESS, FAILURE and DELAY")
    return words


def _orcpt(value: str | None) -> str:
    if value is None:
        return ""
    match = _ORCPT.fullmatch(value)
    if match is None or len(value) > MAX_ORCPT:
        raise BadCommand("ORCPT must be type;address")
    kind = match[1].lower()
    if kind != "utf-8":
        return f"{kind};{_xtext('ORCPT', match[2])}"
    # RFC 6533 section 3: of this type an address may hold UTF-8 as it is
    if not match[2].isprintable():
        raise BadCommand("ORCPT holds a character that may not stand there")
    return f"{kind};{decode_utf8_xtext(match[2])}"
