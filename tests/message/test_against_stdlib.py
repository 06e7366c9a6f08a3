"""Well-formed messages: we and Python's own parser see the same."""

import email
import email.policy
import email.utils
from email.message import EmailMessage, Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merpati.message.address_list import parse_address_list
from merpati.message.body import body_parts
from merpati.message.content import Part
from merpati.message.headers import Headers
from merpati.message.mime import scan
from merpati.message.sections import Kind, Section, resolve
from tests.message.cases import all_samples

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
lines = st.lists(words, max_size=6).map(" ".join)
bodies = st.lists(lines, max_size=5).map("\n".join)
atoms = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=10)


@st.composite
def messages(draw: st.DrawFn, depth: int = 2) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = draw(lines)
    message["From"] = email.utils.formataddr((draw(atoms), f"{draw(atoms)}@{draw(atoms)}.example"))
    message["To"] = ", ".join(f"{draw(atoms)}@{draw(atoms)}.example" for _ in range(draw(st.integers(1, 4))))
    message.set_content(draw(bodies), cte=draw(st.sampled_from(["base64", "quoted-printable", "8bit"])))
    if draw(st.booleans()):
        message.add_alternative(f"<p>{draw(lines)}</p>", subtype="html")
    for _ in range(draw(st.integers(0, 2))):
        message.add_attachment(
            draw(st.binary(max_size=100)), maintype="application", subtype="octet-stream", filename=draw(words)
        )
    if depth and draw(st.booleans()):
        message.add_attachment(draw(messages(depth - 1)))
    return message


def theirs(message: Message) -> tuple[str, object]:
    if message.is_multipart():
        return message.get_content_type(), [theirs(each) for each in message.get_payload()]  # type: ignore[arg-type]
    return message.get_content_type(), message.get_payload(decode=True)


def ours(raw: bytes, root: Part) -> tuple[str, object]:
    if root.children:
        return root.content_type, [ours(raw, each) for each in root.children]
    part = body_parts(raw, root)[0]
    return root.content_type, part.decoded()


def same(our: tuple[str, object], their: tuple[str, object]) -> bool:
    """Equal types and equal octets."""
    if our[0] != their[0] or isinstance(our[1], list) != isinstance(their[1], list):
        return False
    if isinstance(our[1], list) and isinstance(their[1], list):
        return len(our[1]) == len(their[1]) and all(map(same, our[1], their[1]))
    return our[1] == their[1]


@given(messages())
@settings(max_examples=150)
@pytest.mark.slow
def test_a_generated_message_has_the_same_parts(message: EmailMessage) -> None:
    raw = message.as_bytes()
    parsed = email.message_from_bytes(raw)
    root = scan(raw)
    assert same(ours(raw, root), theirs(parsed))
    # What the other parser reads back, not what it was given: its folding loses spaces between encoded words.
    assert Headers.parse(raw).get("subject") == email.message_from_bytes(raw, policy=email.policy.default)["Subject"]
    assert Headers.parse(raw).get_raw("from") is not None


@given(messages(depth=0))
@settings(max_examples=50)
def test_a_generated_message_has_the_same_names_and_texts(message: EmailMessage) -> None:
    raw = message.as_bytes()
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    files = [part.get_filename() for part in parsed.iter_attachments()]
    assert [part.filename for part in body_parts(raw, scan(raw)) if part.is_attachment] == files
    plain = parsed.get_body(("plain",))
    assert plain is not None
    text = next(part for part in body_parts(raw, scan(raw)) if part.content_type == "text/plain").text()
    assert text == plain.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize("name", ["plain", "alternative", "attachments", "forwarded", "report", "signed", "bare_lf"])
def test_a_sample_has_the_same_parts(name: str) -> None:
    raw = all_samples()[name]
    root = scan(raw)
    parsed = email.message_from_bytes(raw)

    def types(part: Part) -> object:
        return (part.content_type, [types(each) for each in part.children])

    def their_types(message: Message) -> object:
        inner = message.get_payload() if message.is_multipart() else []
        return (message.get_content_type(), [their_types(each) for each in inner])  # type: ignore[arg-type, union-attr]

    report_status = "message/delivery-status"  # the other parser takes its fields for messages
    if report_status not in str(types(root)):
        assert types(root) == their_types(parsed)
    header = bytes(resolve(raw, root, Section((), Kind.HEADER)) or b"")
    assert [name.lower() for name in parsed] == list(Headers.parse(header))


display = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15).map(str.strip)


@given(st.lists(st.tuples(display, atoms, atoms), min_size=1, max_size=6))
def test_a_list_of_addresses_is_the_same(people: list[tuple[str, str, str]]) -> None:
    value = ", ".join(email.utils.formataddr((name, f"{local}@{domain}")) for name, local, domain in people)
    read = [(entry.name, entry.local, entry.domain) for entry in parse_address_list(value.encode())]
    assert [
        ((name or b"").decode(), f"{(local or b'').decode()}@{(domain or b'').decode()}")
        for name, local, domain in read
    ] == (email.utils.getaddresses([value]))
