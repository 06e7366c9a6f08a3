"""Mail as a processor sees it, hostile mail included; and the kit with which its author tries it."""

import asyncio
from time import perf_counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.errors import Misconfigured, Temporary
from merpati.events import Client
from merpati.plugins import Finding, Mail, NotFetched, Processor, Quarantine, Result, Tag
from merpati.plugins.mail import Facts, MailEnvelope
from merpati.plugins.testing import FakeDns, FakeLog, answer, mail_from, run, tools_for_tests


class NoExecutables(Processor):
    """The example of the package's own documentation."""

    async def process(self, mail: Mail):  # type: ignore[no-untyped-def]
        if any(part.filename.endswith(".exe") for part in mail.attachments):
            return Quarantine("executable attachment")
        return None


def test_the_example_of_the_manual_works() -> None:
    assert run(NoExecutables, mail_from(attachments={"run.exe": b"MZ"})) == [Quarantine("executable attachment")]
    assert run(NoExecutables, mail_from(attachments={"letter.txt": b"hi"})) == []
    assert run(NoExecutables, mail_from()) == []


def test_everything_about_a_mail_can_be_asked() -> None:
    mail = mail_from(
        sender="a@example.org",
        recipients=["b@example.com", "c@example.com"],
        subject="Grüße",
        text="Hallo Welt\n",
        headers={"X-Test": "one", "List-Id": "<list.example.org>"},
        attachments={"a.bin": b"\0\1\2"},
        client=Client(ip="192.0.2.7", tls="TLSv1.3", user="a@example.org"),
        tags=["seen"],
        results={"spf": Result("pass")},
        prefix="Received: from x\r\n\tby y\r\n",
    )
    assert (mail.envelope.sender, mail.envelope.recipients) == ("a@example.org", ("b@example.com", "c@example.com"))
    assert (mail.envelope.client.ip, mail.envelope.tls, mail.envelope.user) == ("192.0.2.7", "TLSv1.3", "a@example.org")
    assert mail.subject == "Grüße" and mail.headers.get("X-TEST") == "one" and mail.headers.get_all("none") == []
    assert mail.text == "Hallo Welt\n" or mail.text.strip() == "Hallo Welt"
    (attachment,) = mail.attachments
    assert (attachment.filename, attachment.content_type) == ("a.bin", "application/octet-stream")
    assert attachment.decoded() == b"\0\1\2" and attachment.size > 3
    assert [part.content_type for part in mail.parts] == ["multipart/mixed", "text/plain", "application/octet-stream"]
    assert mail.size == len(mail.raw()) and mail.raw().startswith(b"From: ")
    assert mail.tags == ("seen",) and mail.results["spf"].value == "pass"
    assert mail.trace.get("received") is not None and mail.headers.get("received") is None
    with pytest.raises(TypeError):
        mail.results["spf"] = Result("fail")  # type: ignore[index]
    with pytest.raises(AttributeError):
        mail.envelope.sender = "x"  # type: ignore[misc]


def everything(mail: Mail) -> list[object]:
    return [
        mail.subject,
        list(mail.headers.items()),
        mail.text,
        [(a.filename, a.content_type, a.size, a.decoded(1000)) for a in mail.attachments],
        [(p.number, p.charset) for p in mail.parts],
        mail.raw(),
    ]


@given(st.binary(max_size=2000))
def test_no_bytes_make_reading_fail(raw: bytes) -> None:
    everything(mail_from(raw))


HOSTILE = {
    "deep": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(3000)),
    "wide": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 50_000,
    "words": b"Subject: " + b"=?utf-8?b?eA==?= " * 20_000 + b"\r\n\r\n",
    "fields": b"X: y\r\n" * 100_000 + b"\r\n",
    "long": b"Subject: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "charset": b"Content-Type: text/plain; charset=zlib\r\n\r\nx\xff\x9c",
    "parameters": b"Content-Type: a/b" + b"; n*0*=x" * 10_000 + b"\r\n\r\nx",
    "comments": b"From: " + b"(" * 20_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_mail_costs_bounded_time(raw: bytes) -> None:
    began = perf_counter()
    everything(mail_from(raw))
    assert perf_counter() - began < 2.0


def test_a_body_that_was_not_brought_along_is_an_error_and_its_header_is_there() -> None:
    raw = b"Subject: big\r\n\r\n" + b"x" * 1000
    mail = Mail(Facts("id", MailEnvelope("", ("a@b.c",)), 0.0, len(raw)), raw[:500])
    assert mail.subject == "big"
    for ask in (mail.raw, lambda: mail.text, lambda: mail.parts):
        with pytest.raises(NotFetched):
            ask()


class Asks(Processor):
    """Uses every tool."""

    class Options(msgspec.Struct, frozen=True):
        name: str
        limit: int = 3

    def process(self, mail: Mail):  # type: ignore[no-untyped-def]
        self.tools.log.info("asked", limit=self.options.limit)
        return [Tag(self.tools.hostname), Finding(str(self.tools.clock.time()))]


class Looks(Processor):
    async def process(self, mail: Mail):  # type: ignore[no-untyped-def]
        return Finding((await self.tools.dns.txt("example.org"))[0].decode())


def test_tools_and_options_come_from_the_test() -> None:
    log = FakeLog()
    found = run(Asks, mail_from(), {"name": "x"}, tools_for_tests(log=log, hostname="h"))
    assert found[0] == Tag("h") and log.lines == [("info", "asked", {"limit": 3})]
    assert run(Looks, mail_from(), tools=tools_for_tests(FakeDns({"example.org": [b"v=spf1"]}))) == [Finding("v=spf1")]
    with pytest.raises(Temporary):
        run(Looks, mail_from(), tools=tools_for_tests(FakeDns(broken=frozenset({"example.org"}))))


async def test_the_kit_works_inside_a_loop_too() -> None:
    assert await answer(Asks, mail_from(), {"name": "x", "limit": 4}) != []
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (Asks, {"nam": "x"}, "unknown key `nam`; did you mean `name`"),
        (Asks, {}, "name"),
        (Asks, {"name": 7}, "str"),
        (Asks, {"name": "x", "limit": "3"}, "int"),
        (NoExecutables, {"x": 1}, "takes no options"),
    ],
)
def test_wrong_options_are_told_at_start(kind: type[Processor], options: dict, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        run(kind, mail_from(), options)
