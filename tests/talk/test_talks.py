"""Conversations of clients with the server, kept as text files beside this one; each is played on a node of its own.

`A: text` is a line that client A sends (so is `B: text`), `S: pattern` the server's next line to whoever spoke last,
`SB: pattern` its next line to client B.  Patterns are regular expressions and match whole lines.  `S: ...` passes over
lines until the next pattern matches.  Behind `{+}` the client's lines up to a dot are a literal, and the size is filled
in.  `#` begins a comment.  The protocol is the first word of the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.access.world import Client, World, world

TALKS = sorted(Path(__file__).parent.glob("*.talk"))
_LINE = re.compile(r"(S?)([AB]?): ?(.*)")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a talk."""

    number: int
    server: bool
    who: str
    text: str


def steps(text: str) -> Iterator[Step]:
    """The lines of a talk; raises `ValueError` for one that is none."""
    who = "A"
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None or not (found[1] or found[2]):
            raise ValueError(f"line {number} is no line of a talk: {line}")
        who = found[2] or who
        yield Step(number, bool(found[1]), who, found[3])


async def play(here: World, protocol: str, text: str) -> None:
    clients: dict[str, Client] = {}
    literal: list[str] = []
    skipping = False
    for step in steps(text):
        if step.who not in clients:
            clients[step.who] = await here.client(protocol)
        client = clients[step.who]
        if not step.server and (literal or step.text.endswith("{+}")):
            if step.text != ".":
                literal.append(step.text)
                continue
            head, *rest = literal
            data = "".join(f"{line}\r\n" for line in rest)
            client.send(f"{head[:-2]}{len(data.encode())}+}}\r\n{data}")
            literal = []
        elif not step.server:
            client.send(step.text)
        elif step.text == "...":
            skipping = True
        else:
            await _expect(client, step, skipping=skipping)
            skipping = False


async def _expect(client: Client, step: Step, *, skipping: bool) -> None:
    while True:
        try:
            said = (await client.line()).decode("latin-1")
        except TimeoutError:
            raise AssertionError(f"line {step.number}: {step.text!r} was expected, nothing was said") from None
        if re.fullmatch(step.text, said):
            return
        assert skipping and said, f"line {step.number}: {step.text!r} was expected, {said!r} was said"


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.stem)
async def test_the_talk_goes_as_it_is_written(talk: Path, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await play(here, talk.stem.partition("-")[0], talk.read_text())


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(steps("A: x\nnonsense\n"))


async def test_a_talk_that_goes_otherwise_fails(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        with pytest.raises(AssertionError, match="line 2"):
            await play(here, "imap", "A: a NOOP\nS: a NO .*\n")
