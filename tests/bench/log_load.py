"""Appends to mailbox logs beside Dovecot's LMTP into Maildir: the same messages, the same disk, in turns in one run.

What each includes.  Dovecot: the LMTP dialogue with a client on the same cores, a file for each message, its fsync
and its index, as Debian configures it.  Merpati: the append as the delivery worker makes it, without a protocol in
front: MIME structure, ENVELOPE and BODYSTRUCTURE rendered, digests, the cause remembered, the commit on the disk
(file and folder fsynced), snapshots in the background; where it says so, the commit made known to other processes on
the embedded bus.  CPU a message is what the server takes, without the client: it says what a larger machine would see.
"""

import asyncio
import os
import pathlib
import statistics
import time
from dataclasses import dataclass

from merpati.clock import SystemClock
from merpati.components import Components
from merpati.ids import SystemDice, new_account_id
from merpati.mailbox.api import Append
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.settings import Settings
from tests.bench.dovecot import dovecot
from tests.bench.lmtp_load import lmtp_flood
from tests.bench.smtp_load import Mail
from tests.servers import free_port

DOMAIN = "bench.test"
SIZE = 8192
ROUNDS = 3


@dataclass(frozen=True)
class Rate:
    """Messages a second, and milliseconds of the server's CPU for each."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Load:
    """Appends to so many accounts, so many under way at once for each, so many messages in each."""

    name: str
    accounts: int
    at_once: int
    lot: int = 1
    pushes: bool = False

    @property
    def under_way(self) -> int:
        return self.accounts * self.at_once * self.lot


DOVECOT = "Dovecot, LMTP into Maildir"
SIXTEEN = (
    Load("one append at a time each", 16, 1),
    Load("8 at a time each", 16, 8),
    Load("8 at a time each, made known to others", 16, 8, pushes=True),
)
HOT = (
    Load("one append at a time", 1, 1),
    Load("16 at a time", 1, 16),
    Load("128 at a time", 1, 128),
    Load("lots of 100, as delivery makes them", 1, 1, 100),
    Load("lots of 100, made known to others", 1, 1, 100, pushes=True),
)
SESSIONS = {16: (16, 20), 1: (1, 4, 10, 20)}
"""Connections that Dovecot is tried with, for so many accounts."""


async def appends(folder: pathlib.Path, load: Load, count: int) -> Rate:
    """How fast an installation on the embedded engines takes messages into mailboxes."""
    async with Components(Settings(data=str(folder))) as parts:
        boxes = parts.mailboxes if load.pushes else AllMailboxes(parts.store, clock=SystemClock(), dice=SystemDice())
        mail = Mail(DOMAIN, load.accounts, SIZE)
        messages = [mail.message(n) for n in range(count)]
        accounts = [await boxes.open(new_account_id(SystemDice())) for _ in range(load.accounts)]
        lots = iter(range(0, count, load.lot))

        async def worker(n: int) -> None:
            for start in lots:
                made = [
                    Append("INBOX", message, cause=f"{mail.run}.{number} {mail.recipient(n)}")
                    for number, message in enumerate(messages[start : start + load.lot], start)
                ]
                await accounts[n].append(made)

        began, busy = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker(n) for n in range(load.accounts) for _ in range(load.at_once)))
        took, used = time.perf_counter() - began, time.process_time() - busy
        found = sum([(await account.folder("INBOX")).exists for account in accounts])
        if found != count:
            raise RuntimeError(f"{found} messages of {count} are there")
        await boxes.close()
    return Rate(count / took, 1000 * used / count)


async def deliveries(port: int, pid: int, accounts: int, count: int) -> Rate:
    """Dovecot's best over the numbers of connections it is tried with."""
    rates = []
    for sessions in SESSIONS[accounts]:
        busy = cpu_of(pid)
        sent = await lmtp_flood(port, Mail(DOMAIN, accounts, SIZE), count, sessions)
        rates.append(Rate(sent.rate, 1000 * (cpu_of(pid) - busy) / count))
    return max(rates, key=lambda each: each.rate)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and of all below it, those that have ended included."""
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = pathlib.Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        spent[int(name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += spent.get(one, 0.0)
        waiting += children.get(one, [])
    return total


Row = tuple[int, str]
"""Accounts, and what was done."""


async def measured(folder: pathlib.Path, quick: bool) -> dict[Row, list[Rate]]:
    """Each load and Dovecot, in turns."""
    count, rounds = (300, 1) if quick else (2000, ROUNDS)
    found: dict[Row, list[Rate]] = {}
    ports = {name: free_port() for name in ("lmtp", "imap", "pop3")}
    for one in (folder, folder.parent):
        one.mkdir(parents=True, exist_ok=True)
        one.chmod(0o755)  # Dovecot's mail user has to get in
    with dovecot(folder / "dovecot", ports, "correct-horse-7") as pid:
        for turn in range(rounds):
            for accounts, loads in ((16, SIXTEEN), (1, HOT)):
                theirs = await deliveries(ports["lmtp"], pid, accounts, count)
                found.setdefault((accounts, DOVECOT), []).append(theirs)
                for at, load in enumerate(loads):
                    inside = folder / f"{accounts}-{at}-{turn}"
                    ours = await appends(inside, load, count if load.under_way <= 16 else 3 * count)
                    found.setdefault((accounts, load.name), []).append(ours)
    return found


def table(found: dict[Row, list[Rate]]) -> str:
    """The rates, and each beside Dovecot's of the same number of accounts and the same turn."""
    lines = [
        f"| {SIZE // 1024} KiB, {os.cpu_count()} cores, files | messages/s | CPU, ms a message | times Dovecot's |",
        "|---|---|---|---|",
    ]
    for (accounts, name), rates in found.items():
        pairs = zip(rates, found[accounts, DOVECOT], strict=True)
        ratio = statistics.median(ours.rate / theirs.rate for ours, theirs in pairs)
        rate = statistics.median(each.rate for each in rates)
        cpu = statistics.median(each.cpu for each in rates)
        where = "16 accounts" if accounts == 16 else "one account"
        lines.append(f"| {where}: {name} | {rate:.0f} | {cpu:.2f} | {ratio:.2f} |")
    return "\n".join(lines)
