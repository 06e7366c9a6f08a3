"""The summary kept at append: right for good mail, harmless for bad mail, fast enough for every delivery."""

import msgspec
import pytest

from merpati.message.mime import scan
from merpati.message.structure import render_structure
from merpati.message.summary import MAX_REFERENCES, Summary, summarise
from tests.message.cases import all_samples, message, sample


def test_a_message_is_summed_up() -> None:
    raw = sample("alternative")
    summary = summarise(raw)
    assert (summary.body, summary.structure) == render_structure(raw, scan(raw))
    assert summary.envelope.startswith(b'("Wed, 15 Nov 2023 08:00:00 -0500 (EST)" ')
    assert msgspec.structs.replace(summary, envelope=b"", body=b"", structure=b"") == Summary(
        size=len(raw),
        envelope=b"",
        body=b"",
        structure=b"",
        sent_at=1_700_053_200,
        sent_day=19_676,
        subject="Re: [readers] Grüße aus Köln (fwd)",
        base_subject="Grüße aus Köln",
        is_answer=True,
        author_name="Carol, C.",
        author="carol@news.example",
        message_id="a1@news.example",
        in_reply_to="root@news.example",
        references=("root@news.example", "second@news.example", "third@news.example"),
    )


@pytest.mark.parametrize(("name", "raw"), all_samples().items())
def test_a_summary_survives_being_stored(name: str, raw: bytes) -> None:
    summary = summarise(raw)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(summary), type=Summary) == summary
    assert summarise(raw, scan(raw)) == summary


FIELDS = [
    ("X: y", Summary(0, b"", b"", b"")),
    ("Date: 31 Feb 2023 10:00 +0000", Summary(0, b"", b"", b"")),
    ("Subject: one\nSubject: two", Summary(0, b"", b"", b"", subject="one", base_subject="one")),
    ("Subject: =?utf-8?q?a=0D=0Ab?=", Summary(0, b"", b"", b"", subject="a b", base_subject="a b")),
    ("From: A <a@b>, c@d", Summary(0, b"", b"", b"", author_name="A", author="a@b")),
    ("From: A <a@b>\nFrom: c@d", Summary(0, b"", b"", b"", author_name="A", author="a@b")),
    ("From: g: a@b;", Summary(0, b"", b"", b"", author="a@b")),
    ("From: g:;", Summary(0, b"", b"", b"")),
    ("From: =?utf-8?q?=C3=BC?= <a@b>", Summary(0, b"", b"", b"", author_name="ü", author="a@b")),
    ("Message-ID: <a@b> (c)", Summary(0, b"", b"", b"", message_id="a@b")),
    ("Message-ID: none", Summary(0, b"", b"", b"")),
    ("In-Reply-To: your message of Monday <a@b> <c@d>", Summary(0, b"", b"", b"", in_reply_to="a@b")),
    ("References: <a@b><c@d>,\n <a b> <e@f", Summary(0, b"", b"", b"", references=("a@b", "c@d"))),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_broken_fields_leave_nothing_or_the_first_good_one(fields: str, expected: Summary) -> None:
    summary = summarise(message(fields))
    assert msgspec.structs.replace(summary, size=0, envelope=b"", body=b"", structure=b"") == expected


def test_many_references_keep_the_first_and_the_last() -> None:
    ids = [f"{number}@x" for number in range(1_000)]
    summary = summarise(message("References: " + "\n ".join(f"<{each}>" for each in ids)))
    assert summary.references == (ids[0], *ids[1 - MAX_REFERENCES :])
