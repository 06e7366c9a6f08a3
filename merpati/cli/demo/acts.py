"""What happens in the demo, act by act.  A failed act ends the show with exit status 1.

Everything the acts do goes through the front doors: the command's own settings files, SMTP, POP3, IMAP, OAuth2 tokens.
"""

from __future__ import annotations

import asyncio
import poplib
import shutil
import signal
import smtplib
import ssl
import tempfile
from contextlib import AsyncExitStack
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from merpati.auth.credentials import Secret
from merpati.auth.issuer import DemoIssuer
from merpati.cli.common import out
from merpati.cli.demo.clients import Device, Login, download_and_delete, submit, trusting
from merpati.cli.demo.hops import Hops
from merpati.cli.demo.show import Show
from merpati.cli.demo.stage import Server, make_stage
from merpati.cli.trace import print_trace
from merpati.clock import SystemClock
from merpati.components import Components
from merpati.errors import MerpatiError, Permanent
from merpati.events import What
from merpati.ids import SystemDice
from merpati.net.self_signed import ensure_self_signed
from merpati.tracing import trace

ALICE, BOB, CAROL = "alice@sender.test", "bob@receiver.test", "carol@receiver.test"
PASSWORDS = {ALICE: "pigeon-alice", BOB: "pigeon-bob", CAROL: "pigeon-carol"}
"""The demo listens on loopback only, and its mail is gone when it ends."""


async def demo(once: bool) -> int:
    """Play it; the exit status.  Stays up until Ctrl-C unless `once`."""
    clock = SystemClock()
    show = Show(clock)
    folder = Path(tempfile.mkdtemp(prefix="merpati-demo-"))
    async with AsyncExitStack() as stack:
        acts = Acts(show, folder, stack)
        try:
            await acts.play()
        except (MerpatiError, OSError, smtplib.SMTPException, poplib.error_proto) as failure:
            show.failed("the message did not go the whole way:", str(failure))
            out.print(f"[dim]what the servers said is in {folder}/*/server.log[/dim]")
            return 1
        if not once:
            acts.offer()
            await _until_interrupted()
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    out.print("\n[dim]the servers stay up; Ctrl-C ends them[/dim]")
    await stop.wait()
    out.print("[dim]ending both servers …[/dim]")


class Acts:
    """The show: what it needs lives in `stack` and is gone after it."""

    def __init__(self, show: Show, folder: Path, stack: AsyncExitStack) -> None:
        self._show = show
        self._folder = folder
        self._stack = stack
        self._hops = Hops(show.hop)
        self._clock = SystemClock()
        self._parts: dict[str, Components] = {}

    async def play(self) -> None:
        """All acts, in order."""
        self._show.opening()
        await self._raise_curtain()
        await self._send()
        await self._read_by_pop3()
        await self._read_by_imap()
        await self._trace()

    def offer(self) -> None:
        """Ports and logins for the reader's own client."""
        self._show.logins((self._sender, self._receiver), PASSWORDS, self._issuer.token(BOB))

    async def _raise_curtain(self) -> None:
        self._show.act("1  two servers, each with its own folder, and a small OAuth2 issuer")
        self._issuer = DemoIssuer(self._clock, SystemDice())
        await self._issuer.start()
        self._stack.push_async_callback(self._issuer.stop)
        self._show.step("the issuer of tokens", self._issuer.url)
        self._sender, self._receiver = make_stage(self._folder, self._issuer.url, SystemDice())
        for server, users in ((self._sender, [ALICE]), (self._receiver, [BOB, CAROL])):
            parts = await self._stack.enter_async_context(Components(server.write_settings()))
            self._parts[server.domain] = parts
            await parts.directory.add_domain(server.domain)
            for user in users:
                await parts.directory.add_account(user, await parts.passwords.hash(Secret(PASSWORDS[user])))
            await server.start()
            self._stack.push_async_callback(server.stop)
        for server in (self._sender, self._receiver):
            await server.wait_until_ready(self._clock)
            pid = server.process.pid if server.process else 0
            self._show.step(f"{server.hostname} is up", f"process group {pid}, settings {server.config}")
            await self._follow(server)

    async def _follow(self, server: Server) -> None:
        entered = asyncio.Event()
        following = asyncio.create_task(self._hops.follow(server, self._parts[server.domain].bus, entered))
        self._stack.callback(following.cancel)
        await entered.wait()

    async def _send(self) -> None:
        self._show.act("2  alice submits two messages at sender.test; they go through both servers")
        login = Login(self._sender.ports["submission"], ALICE, PASSWORDS[ALICE], self._trust(self._sender))
        for subject, to in (("Lunch on Friday?", f"{BOB}, {CAROL}"), ("Invoice 2026-11", BOB)):
            reply = await asyncio.to_thread(submit, login, _letter(subject, to))
            self._show.step(f"alice submitted “{subject}”", reply)
        for recipient, count in ((BOB, 2), (CAROL, 1)):
            await self._hops.until(self._receiver, What.STORED, recipient, count)

    async def _read_by_pop3(self) -> None:
        self._show.act("3  carol reads by POP3: download, delete, gone")
        login = Login(self._receiver.ports["pop3s"], CAROL, PASSWORDS[CAROL], self._trust(self._receiver))
        messages = await asyncio.to_thread(download_and_delete, login)
        _must(
            len(messages) == 1 and b"Subject: Lunch on Friday?" in messages[0], f"carol found {len(messages)} messages"
        )
        self._show.step("carol downloaded and deleted it", f"{len(messages[0])} bytes")
        _must(not await asyncio.to_thread(download_and_delete, login), "the message came a second time")
        self._show.step("she looks again: nothing there")

    async def _read_by_imap(self) -> None:
        self._show.act("4  bob reads by IMAP: it stays, and his two devices are in step")
        login = Login(self._receiver.ports["imaps"], BOB, PASSWORDS[BOB], self._trust(self._receiver))
        laptop = await Device.connect("laptop", login)
        await laptop.login(BOB, PASSWORDS[BOB])
        self._show.step("the laptop logged in with a password")
        phone = await Device.connect("phone", login)
        await phone.login_with_token(BOB, self._issuer.token(BOB))
        self._show.step("the phone logged in with an OAuth2 token", "OAUTHBEARER")
        for device in (laptop, phone):
            await device.command("SELECT INBOX")
        fetched = "\n".join(await laptop.command("FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
        _must("Lunch on Friday?" in fetched, f"the laptop fetched {fetched}")
        entered = asyncio.Event()
        waiting = asyncio.create_task(phone.idle_until(r"FETCH .*\\Flagged", entered))
        await entered.wait()
        began = self._clock.monotonic()
        await laptop.command("STORE 1 +FLAGS (\\Flagged)")
        line = await waiting
        self._show.step("the laptop set a flag; the phone saw it in IDLE", f"{line}  after {self._ms(began)}")
        status = " ".join(await phone.command("STATUS Invoices (MESSAGES)"))
        _must("MESSAGES 1" in status, f"the folder of the plugin: {status}")
        self._show.step("the plugin filed the invoice", status.removeprefix("* "))
        status = " ".join(await laptop.command("STATUS INBOX (MESSAGES)"))
        _must("MESSAGES 1" in status, f"mail does not stay: {status}")
        self._show.step("the mail stays on the server", status.removeprefix("* "))
        await asyncio.gather(laptop.close(), phone.close())

    async def _trace(self) -> None:
        self._show.act("5  the trace, as `merpati trace` shows it afterwards")
        for server in (self._sender, self._receiver):
            found = await trace(self._parts[server.domain].bus, self._hops.messages(server)[0])
            _must(all(end in (What.STORED, What.RELAYED) for end in found.ends.values()), "a recipient ended badly")
            _must(bool(found.ends), "the trace has no end")
            out.print(f"[bold]{server.hostname}[/bold]  ", end="")
            print_trace(found)

    def _trust(self, server: Server) -> ssl.SSLContext:
        """What a client knows of the server: its certificate, and no other."""
        settings = self._parts[server.domain].settings
        return trusting(ensure_self_signed(settings.data_path, settings.hostname, self._clock).public)

    def _ms(self, began: float) -> str:
        return f"{(self._clock.monotonic() - began) * 1000:.1f} ms"


def _letter(subject: str, to: str) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = f"Alice <{ALICE}>", to, subject
    letter["Date"], letter["Message-ID"] = formatdate(localtime=False), make_msgid(domain="sender.test")
    letter.set_content("Shall we meet at noon?\n\nAlice\n")
    return letter


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Permanent(otherwise)
