"""A strict reader of what IMAP's grammar allows in ENVELOPE and BODYSTRUCTURE (RFC 3501 section 9), for the tests.

`read` gives lists, bytes, ints and None; `check_envelope` and `check_body` assert the shapes.
"""

import re

Node = list["Node"] | bytes | int | None  # type: ignore[misc]

# quoted: any CHAR but CR and LF, `"` and `\` escaped; literal: octets but NUL
_TOKEN = re.compile(rb'(\()|(\))|(NIL)|([0-9]+)|"((?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*)"|\{([0-9]+)\}\r\n')


def read(octets: bytes) -> Node:
    """The one value that the octets are."""
    stack: list[list[Node]] = [[]]
    at = 0
    while at < len(octets):
        match = _TOKEN.match(octets, at)
        assert match, octets[at : at + 60]
        opening, closing, nil, number, quoted, literal = match.groups()
        at = match.end()
        if opening:
            stack.append([])
        elif closing:
            done = stack.pop()
            stack[-1].append(done)
        elif nil:
            stack[-1].append(None)
        elif number is not None:
            stack[-1].append(int(number))
        elif quoted is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", quoted))
        else:
            value = octets[at : at + int(literal)]
            assert len(value) == int(literal)
            assert b"\0" not in value
            stack[-1].append(value)
            at += len(value)
        # One space between values, none after "(" or before ")"; lists in a list of lists stand without one.
        if octets[at : at + 1] == b" ":
            assert not opening
            at += 1
            assert octets[at : at + 1] not in (b" ", b")", b"")
        else:
            assert opening or octets[at : at + 1] in (b")", b"") or (closing and octets[at : at + 1] == b"(")
    assert len(stack) == 1
    assert len(stack[0]) == 1
    return stack[0][0]


def _is_nstring(node: Node) -> bool:
    return node is None or isinstance(node, bytes)


def check_envelope(node: Node) -> None:
    """RFC 3501 section 9, `envelope`."""
    assert isinstance(node, list)
    assert len(node) == 10
    assert all(_is_nstring(node[place]) for place in (0, 1, 8, 9))
    for addresses in node[2:8]:
        if addresses is None:
            continue
        assert isinstance(addresses, list)
        assert addresses
        in_group = False
        for address in addresses:
            assert isinstance(address, list)
            assert len(address) == 4
            assert all(map(_is_nstring, address))
            if address[3] is None:
                # a group opens with its name and closes with NIL, and does not nest
                assert (address[2] is None) == in_group
                in_group = not in_group
            else:
                assert isinstance(address[2], bytes)
        assert not in_group


def _check_parameters(node: Node) -> None:
    if node is not None:
        assert isinstance(node, list)
        assert node
        assert len(node) % 2 == 0
        assert all(isinstance(word, bytes) for word in node)


def _check_extension(items: list[Node]) -> None:
    """Disposition, language, location."""
    assert len(items) == 3
    disposition, language, location = items
    if disposition is not None:
        assert isinstance(disposition, list)
        kind, parameters = disposition
        assert isinstance(kind, bytes)
        _check_parameters(parameters)
    assert language is None or (isinstance(language, list) and all(isinstance(tag, bytes) for tag in language))
    assert _is_nstring(location)


def check_body(root: Node, extended: bool) -> int:
    """RFC 3501 section 9, `body`; the number of parts."""
    waiting, count = [root], 0
    while waiting:
        node = waiting.pop()
        count += 1
        assert isinstance(node, list)
        if isinstance(node[0], list):
            children = [each for each in node if isinstance(each, list)]
            number = next(place for place, each in enumerate(node) if not isinstance(each, list))
            waiting += children[:number]
            assert isinstance(node[number], bytes)
            rest = node[number + 1 :]
            if extended:
                _check_parameters(rest[0])
                _check_extension(rest[1:])
            else:
                assert not rest
            continue
        media, subtype, parameters, id_, description, encoding, octets, *rest = node
        assert isinstance(media, bytes)
        assert isinstance(subtype, bytes)
        _check_parameters(parameters)
        assert _is_nstring(id_)
        assert _is_nstring(description)
        assert isinstance(encoding, bytes)
        assert isinstance(octets, int)
        assert media != b"multipart"
        if media == b"text":
            assert isinstance(rest.pop(0), int)
        elif (media, subtype) == (b"message", b"rfc822"):
            check_envelope(rest.pop(0))
            waiting.append(rest.pop(0))
            assert isinstance(rest.pop(0), int)
        if extended:
            assert _is_nstring(rest.pop(0))
            _check_extension(rest)
        else:
            assert not rest
    return count
