"""`merpati trace`: the way of a message, hop by hop, with times; also how the demo prints a hop."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from merpati.cli.common import ConfigOption, JsonOption, harmless, load_settings, out, print_json, print_line, run
from merpati.clock import SystemClock
from merpati.components import Components
from merpati.errors import Permanent
from merpati.events import Happened, What
from merpati.ids import MessageId
from merpati.tracing import FINAL, Trace, find
from merpati.tracing import trace as trace_of

GOOD, LATE, BAD, PLAIN = "green", "yellow", "red", "cyan"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
COLOURS = {
    What.STORED: GOOD,
    What.RELAYED: GOOD,
    What.ACCEPTED: GOOD,
    What.DEFERRED: LATE,
    What.QUARANTINED: LATE,
    What.REFUSED: BAD,
    What.BOUNCED: BAD,
    What.DISCARDED: LATE,
    What.PARKED: BAD,
}


def hop_line(event: Happened, after: float, *, server: str = "") -> Text:
    """One hop as a line: time since the first, what, who, for whom, facts."""
    line = Text(f"{after * 1000:9.1f} ms  ")
    if server:
        line.append(f"{server:<14} ", "bold")
    line.append(f"{event.service:<16} ", "dim")
    line.append(f"{event.what:<12} ", COLOURS.get(event.what, PLAIN))
    line.append(harmless(", ".join(event.recipients)))
    facts = {name: value for name, value in event.detail.items() if value}
    if facts:
        line.append(harmless("  " + "  ".join(f"{name}={value}" for name, value in facts.items())), "dim")
    return line


def print_trace(found: Trace) -> None:
    """The whole trace, a line each hop, under a heading."""
    first = found.hops[0].event
    when = datetime.fromtimestamp(first.at, UTC).isoformat(timespec="milliseconds")
    out.print(Text.assemble(("message ", "bold"), found.message, f"  {when}", f"  from <{harmless(first.sender)}>"))
    for hop in found.hops:
        print_line(hop_line(hop.event, hop.after))
    if not any(hop.event.what in FINAL for hop in found.hops):
        out.print("          on its way: nothing has ended yet", style="dim")
    for other in found.related:
        out.print(Text.assemble("          brought about message ", (other, "bold")))


def command(
    message: Annotated[
        str, typer.Argument(metavar="[ID]", help="A message id, as in the 250 and the Received field.")
    ] = "",
    sender: Annotated[str, typer.Option("--from", metavar="A", help="Envelope sender.")] = "",
    recipient: Annotated[str, typer.Option("--to", metavar="B", help="Recipient.")] = "",
    since: Annotated[
        str, typer.Option(metavar="T", help="A span ago (2h, 3d) or an ISO 8601 time (UTC, unless it has a zone).")
    ] = "1d",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the way of a message: each hop, decision and time, from the edge to the mailbox and after."""

    async def work() -> list[Trace]:
        async with Components(load_settings(config)) as parts:
            if not message:
                return await find(parts.bus, since=moment(since), sender=sender, recipient=recipient)
            try:
                first = await trace_of(parts.bus, MessageId(message.lower()))
            except ValueError:
                raise Permanent(f"{message} is not a message id; use --from and --to to find it") from None
            return [first, *[await trace_of(parts.bus, other) for other in first.related]]

    found = [one for one in run(work()) if one.hops]
    if json:
        print_json(found)
    for one in found if not json else ():
        print_trace(one)
    if not found:
        raise typer.Exit(1)


def span(text: str) -> float | None:
    """Seconds of a span such as `2h` or `1.5d`; None if it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    return float(match[1]) * UNITS[match[2]] if match else None


def moment(text: str) -> float:
    """Seconds since 1970 from `2h` (that long ago) or an ISO 8601 time, UTC unless it says otherwise."""
    if (ago := span(text)) is not None:
        return SystemClock().time() - ago
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Permanent(f"{text} is neither a span such as 2h nor an ISO 8601 time") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
