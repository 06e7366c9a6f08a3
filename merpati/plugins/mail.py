"""The message as a processor sees it: read as far as it is asked about, never changed.

Made by the processors service (and by `merpati.plugins.testing`); read by processors.  Whatever the bytes are, nothing
here raises for them, and reading stays within the limits of `merpati.message`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import msgspec

from merpati.events import Client
from merpati.message.body import BodyPart, body_parts, readable_text
from merpati.message.headers import Headers
from merpati.message.mime import Part, scan
from merpati.plugins.actions import AnyAction

HEADER_ONLY = 128 * 1024
"""Bytes from the start of a large message that a processor without `wants_body` is given."""


class MailEnvelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What SMTP said, as far as a processor is concerned."""

    sender: str
    """`local@domain`, or empty: the null sender."""
    recipients: tuple[str, ...]
    """Those that no earlier processor has settled."""
    client: Client = Client()
    """`ip`, `helo`, `name` (the verified reverse name), `tls`, `user`."""
    door: str = "mx"
    """mx, submission, submissions, lmtp or http."""

    @property
    def tls(self) -> str:
        """TLS version and cipher of the connection; empty in clear."""
        return self.client.tls

    @property
    def user(self) -> str:
        """The address that was authenticated, or empty."""
        return self.client.user


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an earlier processor said."""

    value: str = ""
    """Of its `Finding`, or empty."""
    details: dict[str, str] = {}
    actions: tuple[AnyAction, ...] = ()
    """Its other words."""
    applied: bool = True
    """False in shadow: noted, not done."""
    strangers: tuple[str, ...] = ()
    """Recipients it named that it was not shown."""
    error: str = ""
    """Why it gave no answer."""


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of a mail but its bytes: what travels to a processor in a process of its own."""

    id: str
    envelope: MailEnvelope
    received_at: float
    """When the edge accepted it, seconds since 1970."""
    size: int
    prefix: str = ""
    """Our own header fields that stand before the received bytes (Received, …)."""
    tags: tuple[str, ...] = ()
    results: dict[str, Result] = {}


class NotFetched(Exception):
    """The body of a large message was asked for by a processor that says `wants_body = False`."""


class Content:
    """The bytes of a message and what was read of them: shared by the views that several processors get."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data
        self.size = size

    def whole(self) -> bytes:
        """The message.  Raises `NotFetched`."""
        if len(self.data) < self.size:
            raise NotFetched("wants_body is False, and the message was too large to bring its body along")
        return self.data

    @cached_property
    def headers(self) -> Headers:
        return Headers.parse(self.data)

    @cached_property
    def structure(self) -> Part:
        return scan(self.whole())

    @cached_property
    def parts(self) -> tuple[BodyPart, ...]:
        return tuple(body_parts(self.whole(), self.structure))

    @cached_property
    def text(self) -> str:
        return readable_text(self.whole(), self.structure)


class Mail:
    """One message.  Everything is read when it is first asked for."""

    def __init__(self, facts: Facts, content: Content | bytes) -> None:
        self._facts = facts
        self._content = Content(content, facts.size) if isinstance(content, bytes) else content

    @property
    def id(self) -> str:
        """The message id of the installation (a UUIDv7), not the Message-ID field."""
        return self._facts.id

    @property
    def envelope(self) -> MailEnvelope:
        """Sender, recipients and client."""
        return self._facts.envelope

    @property
    def size(self) -> int:
        """Bytes as received."""
        return self._facts.size

    @property
    def received_at(self) -> float:
        """When the edge accepted it, seconds since 1970."""
        return self._facts.received_at

    @property
    def tags(self) -> tuple[str, ...]:
        """What earlier processors noted with `Tag`."""
        return self._facts.tags

    @property
    def results(self) -> Mapping[str, Result]:
        """What earlier processors said, by name."""
        return MappingProxyType(self._facts.results)

    @property
    def headers(self) -> Headers:
        """The header fields that came with the message: `get`, `get_all`, in any case, decoded."""
        return self._content.headers

    @property
    def trace(self) -> Headers:
        """The header fields that we put before it."""
        return Headers.parse(self._facts.prefix.encode("utf-8", "replace"))

    @property
    def subject(self) -> str:
        """The Subject in plain text, or empty."""
        return self.headers.get("subject") or ""

    @property
    def text(self) -> str:
        """What a person would read: the plain text, or the words of the HTML."""
        return self._content.text

    @property
    def parts(self) -> tuple[BodyPart, ...]:
        """Every part in the order of the message, multiparts included."""
        return self._content.parts

    @property
    def attachments(self) -> tuple[BodyPart, ...]:
        """Parts that are files: `filename`, `content_type`, `size`, `decoded()`.  Nothing is unpacked."""
        return tuple(part for part in self._content.parts if part.is_attachment)

    def raw(self) -> bytes:
        """The message as received, byte for byte."""
        return self._content.whole()

    def read_ahead(self) -> None:
        """Take the message apart now: for a thread, before the event loop would do it."""
        _ = self._content.headers, self._content.parts

    @property
    def facts(self) -> Facts:
        """Everything but the bytes."""
        return self._facts

    @property
    def data(self) -> bytes:
        """The bytes that are here: all, or the first `HEADER_ONLY` of a large message."""
        return self._content.data
