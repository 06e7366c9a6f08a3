"""What the demo prints: headings, steps with a mark and a time, hops as they happen, the table of logins at the end."""

from __future__ import annotations

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from merpati.cli.common import out, print_line
from merpati.cli.demo.stage import Server
from merpati.cli.trace import hop_line
from merpati.clock import Clock
from merpati.events import Happened

DRAWING = """\
 alice                      [b]sender.test[/b]
   └─587 STARTTLS+AUTH──▶   ingest ▶ processors ▶ delivery
                                                    │ SMTP + TLS
                            [b]receiver.test[/b]           ▼
   ┌────────POP3────────◀   mailbox ◀ delivery ◀ processors ◀ ingest
 carol                         │
 bob's laptop and phone ◀─IMAP─┘"""


class Show:
    """Prints, and keeps the time since the show began."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.time()

    def opening(self) -> None:
        """The drawing of what is about to happen."""
        out.print(Panel(DRAWING, title="the way of an e-mail", border_style="cyan", expand=False))

    def act(self, title: str) -> None:
        """A heading."""
        out.print()
        out.print(Text(title, "bold cyan"))

    def step(self, text: str, detail: str = "") -> None:
        """Something that went well."""
        line = Text(f"{self._since():9.1f} ms  ")
        line.append("✓ ", "green")
        line.append(text)
        if detail:
            line.append(f"  {detail}", "dim")
        print_line(line)

    def failed(self, text: str, reason: str) -> None:
        """Something that did not."""
        out.print(Text.assemble(f"{self._since():9.1f} ms  ", ("✗ ", "red"), text, (f"  {reason}", "red")))

    def hop(self, server: Server, event: Happened) -> None:
        """One hop of a message, as it happens."""
        print_line(hop_line(event, event.at - self._began, server=server.domain))

    def logins(self, servers: tuple[Server, ...], users: dict[str, str], token: str) -> None:
        """Ports and logins for the reader's own mail client."""
        table = Table(
            title="for your own mail client, all on 127.0.0.1", box=None, pad_edge=False, title_justify="left"
        )
        for column in ("", *(server.domain for server in servers)):
            table.add_column(column, style="bold" if column else "dim")
        for door, words in (
            ("submission", "send, STARTTLS"),
            ("submissions", "send, TLS"),
            ("imap", "IMAP, STARTTLS"),
            ("imaps", "IMAP, TLS"),
            ("pop3", "POP3, STLS"),
            ("pop3s", "POP3, TLS"),
            ("mx", "MX, port 25's place"),
            ("http", "metrics and health"),
        ):
            table.add_row(words, *(str(server.ports[door]) for server in servers))
        out.print()
        out.print(table)
        for user, password in users.items():
            out.print(Text.assemble(("login ", "dim"), f"{user}", ("  password ", "dim"), password))
        out.print(Text.assemble(("token ", "dim"), token))
        for server in servers:
            line = f"merpati trace ID --config {server.config}    its log: {server.log}"
            out.print(Text(line, "dim"))

    def _since(self) -> float:
        return (self._clock.time() - self._began) * 1000
