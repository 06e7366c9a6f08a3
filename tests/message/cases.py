"""Sample messages and small builders for the tests of `merpati.message`."""

import pathlib

SAMPLES = pathlib.Path(__file__).resolve().parents[1] / "samples" / "message"


def sample(name: str) -> bytes:
    """The bytes of tests/samples/message/<name>.eml."""
    return (SAMPLES / f"{name}.eml").read_bytes()


def all_samples() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.eml"))}


def crlf(text: str) -> bytes:
    """Text of a test as a message: LF become CRLF, other than ASCII is Latin-1, so that any octet can be written."""
    return text.replace("\n", "\r\n").encode("latin-1")


def message(fields: str, body: str = "body\n") -> bytes:
    return crlf(f"{fields}\n\n{body}")


def mixed(*parts: str, boundary: str = "b", end: str = "--b--\n") -> bytes:
    """A multipart/mixed of parts, each header and body."""
    return crlf(
        f"Content-Type: multipart/mixed; boundary={boundary}\n\n"
        + "".join(f"--{boundary}\n{part}\n" for part in parts)
        + end
    )
