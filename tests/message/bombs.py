"""Messages built to break a reader (HOSTILE.md C1 to C3), each made when it is asked for."""

from collections.abc import Callable

from tests.message.cases import message

MEGABYTE = 1_000_000
MULTIPART = "Content-Type: multipart/mixed; boundary="
FORWARD = "Content-Type: message/rfc822\r\n\r\n"


def nested(depth: int, boundary: Callable[[int], str] = lambda level: f"b{level}x", inside: bytes = b"end") -> bytes:
    """Multiparts in each other."""
    names = [boundary(level) for level in range(depth)]
    opened = "".join(f"{MULTIPART}{name}\r\n\r\n--{name}\r\n" for name in names)
    closed = "".join(f"\r\n--{name}--\r\n" for name in reversed(names))
    return opened.encode() + b"\r\n" + inside + closed.encode()


def parts_of(count: int, part: str, end: str = "--b--\r\n") -> bytes:
    """The same part many times."""
    return (MULTIPART + "b\r\n\r\n" + f"--b\r\n{part}\r\n" * count + end).encode()


BOMBS: dict[str, Callable[[], bytes]] = {
    # C1
    "100 multiparts deep": lambda: nested(100),
    "1,000 multiparts deep": lambda: nested(1_000),
    "10,000 multiparts deep": lambda: nested(10_000),
    "10,000 multiparts deep with one boundary": lambda: nested(10_000, lambda level: "b"),
    "99 multiparts deep, boundaries that begin with each other": lambda: nested(99, lambda level: "b" * (level + 1)),
    "10,000 messages deep": lambda: (FORWARD * 10_000).encode() + b"end",
    "1,000,000 messages deep": lambda: (FORWARD * 1_000_000).encode(),
    "10,000 parts": lambda: parts_of(10_000, "\r\nx"),
    "100,000 parts": lambda: parts_of(100_000, "\r\nx"),
    "1,000,000 empty parts": lambda: parts_of(1_000_000, ""),
    "100,000 parts that are messages": lambda: parts_of(100_000, FORWARD + "Subject: s\r\n\r\nx"),
    "10,000 parts, the last a message": lambda: parts_of(
        9_999, "\r\nx", f"--b\r\n{FORWARD}Subject: s\r\n\r\nx\r\n--b--\r\n"
    ),
    "10,000 multiparts that never begin": lambda: (
        parts_of(10_000, "Content-Type: multipart/mixed; boundary=c\r\n\r\nx") + b"x" * 9 * MEGABYTE
    ),
    "10,000 headers that never end": lambda: parts_of(10_000, "a: b\r\nc"),
    "messages whose multipart shares its boundary": lambda: parts_of(
        10_000, FORWARD + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--"
    ),
    "digests of digests": lambda: nested(500).replace(b"multipart/mixed", b"multipart/digest"),
    "lines that are nearly delimiters": lambda: nested(90) + b"\n--b" * 2_500_000,
    "a long line behind each delimiter": lambda: nested(50).replace(
        b"\r\n\r\n--", b"\r\n\r\n--x" + b"y" * 50_000 + b"\r\n--"
    ),
    "a body of line ends 99 levels deep": lambda: nested(99, inside=b"\n" * 5 * MEGABYTE),
    "a body of line ends in 49 messages": lambda: (FORWARD * 49).encode() + b"\r\n" + b"\n" * 5 * MEGABYTE,
    "a boundary of 100,000 octets": lambda: (
        f"Content-Type: multipart/mixed; boundary={'b' * 100_000}\r\n\r\n--{'b' * 100_000}\r\n\r\nx".encode()
    ),
    "a boundary of one octet": lambda: b"Content-Type: multipart/mixed; boundary=-\r\n\r\n" + b"------\r\n" * 500_000,
    # C2
    "a header of 1 MB": lambda: message("Subject: " + "x" * MEGABYTE),
    "a header of 1 MB in folds": lambda: message("Subject: x" + "\n " * 500_000),
    "100,000 header fields": lambda: message("A: b\n" * 100_000 + "C: d"),
    "100,000 header lines that are none": lambda: message("\n".join(["a"] * 100_000)),
    "1,000,000 bytes of names": lambda: message("a" * MEGABYTE),
    "a name of 200,000 octets": lambda: message("a" * 200_000 + ": b"),
    "a name and 200,000 spaces": lambda: message("a" + " " * 200_000 + ": b"),
    "32,000 addresses": lambda: message("To: " + "a@b.example,\n " * 32_000),
    "32,000 named addresses": lambda: message("From: " + '"x \\" y" <a@b.example>,\n ' * 32_000),
    "100 fields of addresses": lambda: message("\n".join(["To: " + "a (c) @ b, " * 9_000] * 100)),
    "20,000 open parentheses": lambda: message(
        "To: " + "(" * 20_000 + "\nContent-Type: a/b; c=" + "(" * 20_000 + "\nDate: " + "(" * 20_000
    ),
    "20,000 quotes": lambda: message("To: " + '"' * 20_001 + "\nContent-Type: a/b; c=" + '"' * 20_001),
    "20,000 backslashes": lambda: message("To: " + '"\\' * 20_001 + "\nContent-Type: a/b; c=" + '"\\' * 20_001),
    "20,000 groups": lambda: message("To: " + "a:" * 20_000),
    "20,000 routes": lambda: message("To: " + "<@a," * 20_000),
    "20,000 encoded words": lambda: message("Subject: " + "=?utf-8?q?x?=\n " * 20_000),
    "20,000 begun encoded words": lambda: message("Subject: " + "=?utf-8?q?" * 20_000),
    "10,000 parameters": lambda: message("Content-Type: a/b" + "; p=v" * 10_000),
    "10,000 continued parameters": lambda: message(
        "Content-Type: a/b" + "".join(f";\n p*{number}*=%41" for number in range(10_000))
    ),
    "100,000 references": lambda: message("References: " + "<a@b>\n " * 100_000),
    "100,000 unfinished references": lambda: message("References: " + "<a" * 100_000),
    "subject of blobs": lambda: message("Subject: " + "[x]" * 30_000),
    "subject of answers": lambda: message("Subject: " + "Re: " * 25_000),
    "inner messages with long address lists": lambda: parts_of(
        300, FORWARD + "To: " + "a (c) @ b, " * 8_000 + "\r\n\r\nx"
    ),
}
