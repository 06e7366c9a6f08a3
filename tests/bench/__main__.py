"""`make bench`: measures Merpati on both engines and Postfix with Dovecot in one run, and prints one table.

Client, servers, Kafka and MinIO share the machine's cores: compare columns of one run, never numbers of two.
`make bench ARGS="--quick"` for a short one, `--only embedded,peers` for some columns, `--only log` for the mailbox log
alone: its appends beside Dovecot's, and what a large mailbox costs.
"""

import argparse
import asyncio
import os
import pathlib
import statistics
import sys
import tempfile
import time

import uvloop

from tests.bench import log_figures, log_load, systems
from tests.bench.read_load import Imap, fetch_rates, login_rate, pop3_rate
from tests.bench.smtp_load import Mail, flood, pace

LOG = "log"
COLUMNS = {"embedded": systems.embedded, "kafka": systems.scaled_out, "peers": systems.peers}
SESSIONS = 20
SIZE = 8192


def percentile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 if ordered else float("nan")


async def visible(system: systems.System, clients: list[Imap]) -> int:
    return sum(await asyncio.gather(*(client.count() for client in clients)))


async def accept(system: systems.System, count: int, rows: dict[str, str]) -> None:
    """Accept rates, and how long until all can be seen by IMAP."""
    clients = [await Imap.open(system.imap, system.user(n), system.password) for n in range(systems.USERS)]
    for kept, name in ((False, "one a connection"), (True, "kept alive")):
        before = await visible(system, clients)
        began = time.perf_counter()
        sent = await flood(system.smtp, Mail(system.domain, systems.USERS, SIZE), count, SESSIONS, kept)
        rows[f"accept, {name}, messages/s"] = f"{sent.rate:.0f}"
        rows[f"  dot to 250, {name}, p50 / p99 ms"] = (
            f"{percentile(sent.final, 0.5):.1f} / {percentile(sent.final, 0.99):.1f}"
        )
        until = time.perf_counter() + 180
        while (seen := await visible(system, clients) - before) < sent.accepted and time.perf_counter() < until:
            await asyncio.sleep(0.1)
        took = time.perf_counter() - began
        rows[f"  end to end, {name}, messages/s"] = f"{seen / took:.0f}"
        if sent.errors or seen < sent.accepted:
            rows[f"  errors, {name}"] = f"{len(sent.errors)} errors, {sent.accepted - seen} not seen {sent.errors[:1]}"
    for client in clients:
        client.close()


async def latency(system: systems.System, seconds: float, rows: dict[str, str]) -> None:
    """From the 250 to EXISTS in IDLE, at 50 messages a second over all users."""
    mail = Mail(system.domain, systems.USERS, SIZE)
    seen: list[list[float]] = [[] for _ in range(systems.USERS)]
    tasks, clients = [], []
    for n in range(systems.USERS):
        client = await Imap.open(system.imap, system.user(n), system.password)
        entered = asyncio.Event()
        tasks.append(asyncio.create_task(client.idle(seen[n], entered)))
        clients.append(client)
        await entered.wait()
    skip = [len(times) for times in seen]
    told: dict[int, float] = {}
    count = int(50 * seconds)
    await pace(system.smtp, mail, count, 50.0, told)
    until = time.perf_counter() + 60
    while sum(map(len, seen)) - sum(skip) < len(told) and time.perf_counter() < until:
        await asyncio.sleep(0.05)
    delays = []
    for n in range(systems.USERS):
        mine = [told[at] for at in range(n, count, systems.USERS) if at in told]
        delays += [max(0.0, when - at) for at, when in zip(mine, seen[n][skip[n] :], strict=False)]
    rows["250 to EXISTS in IDLE at 50/s, p50 / p99 ms"] = (
        f"{percentile(delays, 0.5):.1f} / {percentile(delays, 0.99):.1f} of {len(delays)}"
    )
    for task, client in zip(tasks, clients, strict=True):
        task.cancel()
        client.close()


async def reading(system: systems.System, rows: dict[str, str]) -> None:
    """What one mailbox gives."""
    rates = [await fetch_rates(system.imap, system.user(0), system.password) for _ in range(3)]
    for name in rates[0]:
        rows[f"IMAP FETCH {name}, messages/s"] = f"{statistics.median(rate[name] for rate in rates):.0f}"
    rows["IMAP logins/s"] = f"{await login_rate(system.imap, system.user(1), system.password):.0f}"
    rows["POP3 RETR, messages/s"] = f"{await pop3_rate(system.pop3, system.user(2), system.password):.0f}"


async def measure(system: systems.System, count: int, seconds: float) -> dict[str, str]:
    rows: dict[str, str] = {}
    for part in (accept(system, count, rows), latency(system, seconds, rows), reading(system, rows)):
        try:
            await part
        except (OSError, RuntimeError, TimeoutError) as error:
            rows["failed"] = str(error)[:60]
            print(f"{system.name}: {error!r}", file=sys.stderr)
    return rows


def table(columns: dict[str, dict[str, str]]) -> str:
    names = list(dict.fromkeys(row for rows in columns.values() for row in rows))
    lines = [f"| {SIZE // 1024} KiB, {SESSIONS} sessions, {os.cpu_count()} cores | " + " | ".join(columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    lines += [f"| {name} | " + " | ".join(rows.get(name, "") for rows in columns.values()) + " |" for name in names]
    return "\n".join(lines)


def mailbox_log(quick: bool) -> None:
    """The mailbox log by itself: without doors, bus and processors."""
    with tempfile.TemporaryDirectory(prefix="merpati-bench-log-") as folder:
        path = pathlib.Path(folder)
        print("measuring appends …", file=sys.stderr, flush=True)
        print(log_load.table(uvloop.run(log_load.measured(path / "appends", quick))))
        print("measuring a large mailbox …", file=sys.stderr, flush=True)
        print("\n" + log_figures.table(log_figures.run(path / "large", quick)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few messages: to see that it works")
    parser.add_argument("--only", default=",".join((*COLUMNS, LOG)), help="of " + ", ".join((*COLUMNS, LOG)))
    chosen = parser.parse_args()
    count, seconds = (400, 5.0) if chosen.quick else (4000, 20.0)
    columns: dict[str, dict[str, str]] = {}
    for name in chosen.only.split(","):
        if name == LOG:
            continue
        with (
            tempfile.TemporaryDirectory(prefix=f"merpati-bench-{name}-") as folder,
            COLUMNS[name](pathlib.Path(folder) / "run") as system,
        ):
            print(f"measuring {system.name} …", file=sys.stderr, flush=True)
            columns[system.name] = asyncio.run(measure(system, count, seconds))
    if columns:
        print(table(columns))
    if LOG in chosen.only.split(","):
        mailbox_log(chosen.quick)
    if any("failed" in rows for rows in columns.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
