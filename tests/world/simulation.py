"""A seeded world: processes write, read, compact and clean one mailbox over a bad store, and die; then it is judged.

Virtual time, one thread, one source of randomness: the same seed gives the same bytes in the store.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from merpati.clock import ManualClock
from merpati.errors import MerpatiError, Unknown
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.commit_log import Safeguards
from merpati.log.layout import log_of
from merpati.log.reading import GRACE
from merpati.log.vacuum import Vacuum, verified
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, BodyMissing
from merpati.mailbox.mailboxes import AllMailboxes
from merpati.mailbox.views import FolderAt
from merpati.objects.memory import MemoryStore
from tests.objects.faulty import Faults
from tests.world.nodes import ACCOUNT, Died, Inline, Node

BAD_DAY = Faults(refuse=0.03, lose=0.05, drop=0.02, late=0.02, conflict=0.03, delay=3.0, latest=20.0, list_lag=60.0)
FOLDERS = ("INBOX", "Archive", "Junk")
LAYOUT = log_of(ACCOUNT)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the world is like.  The last three are switched off by the ablations only."""

    nodes: int = 3
    steps: int = 40
    faults: Faults = BAD_DAY
    pauses: float = 0.004
    """How often a process is stopped in the middle of a request."""
    lives: tuple[float, float] = (20.0, 500.0)
    """Requests that a process makes before it dies, at least and at most."""
    own_id: bool = True
    floor: bool = True
    causes: bool = True


@dataclass(slots=True)
class Told:
    """What was promised to whom, and what was seen."""

    acked: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    flags: dict[int, set[str]] = field(default_factory=dict)
    expunged: set[tuple[str, int]] = field(default_factory=set)
    commits: dict[int, bytes] = field(default_factory=dict)
    uids: dict[tuple[str, int], str] = field(default_factory=dict)
    views: list[tuple[str, int, dict[int, int]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def letter(number: int) -> bytes:
    """The message of that number."""
    text = f"From: a@b.test\r\nSubject: {number}\r\n\r\nbody of {number}\r\n".encode()
    return text + b"x" * (number * 37 % 900) + b"\r\n"


def number_of(body: bytes) -> int:
    """Which message it is."""
    return int(body.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0])


def victim(number: int) -> bool:
    """Whether the message may be expunged; the others must all be there at the end."""
    return number % 3 == 0


class World:
    """One run."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self._plan = plan
        self._dice = SeededDice(seed)
        self._clock = ManualClock()
        self.truth = MemoryStore(self._clock)
        guards = Safeguards(own_id=plan.own_id, floor=plan.floor)
        self._nodes = [
            Node(self.truth, self._clock, seed * 100 + who, plan.faults, guards, plan.pauses, plan.lives)
            for who in range(plan.nodes)
        ]
        self.told = Told()
        self._next = 0

    @property
    def deaths(self) -> int:
        return sum(node.deaths for node in self._nodes)

    async def run(self) -> list[str]:
        """Live, then be judged: what is wrong."""
        lives = [self._write(node, self._throw()) for node in self._nodes for _ in range(2)]
        lives += [self._read(node, self._throw()) for node in self._nodes]
        lives += [self._keep(node, self._throw()) for node in self._nodes[:2]]
        work = asyncio.gather(*lives)
        while not work.done():
            due = self._clock.next_due
            await self._clock.advance(max(0.0, due - self._clock.time()) if due is not None else 0.0)
        work.result()
        await self._judge()
        for node in self._nodes:
            node.bury()
        return self.told.wrong

    def _throw(self) -> SeededDice:
        return SeededDice(int.from_bytes(self._dice.bytes(4), "big"))

    # ---- those who live in it

    async def _write(self, node: Node, dice: SeededDice) -> None:
        for _ in range(self._plan.steps):
            await self._clock.sleep(dice.uniform(0.0, 600.0))
            verb = int(dice.uniform(0, 10))
            try:
                if verb < 5:
                    await self._deliver(node)
                elif verb < 7:
                    await self._flag(node, dice)
                elif verb < 9:
                    await node.do(lambda account: self._move(account, dice))
                else:
                    await node.do(lambda account: self._expunge(account, dice))
            except (MerpatiError, Died):
                pass

    async def _deliver(self, node: Node) -> None:
        """Until it is acknowledged, as a delivery worker does."""
        number = self._next = self._next + 1
        self.told.sent.add(number)
        cause = f"cause {number}" if self._plan.causes else ""
        for _ in range(20):
            try:
                await node.do(lambda account: account.append([Append("INBOX", letter(number), cause=cause)]))
            except (Unknown, Died):
                if not self._plan.own_id:
                    return  # an ablation: only what was acknowledged is to count
            except MerpatiError:
                pass
            else:
                self.told.acked.add(number)
                return
            await self._clock.sleep(30.0)

    async def _flag(self, node: Node, dice: SeededDice) -> None:
        async def flag(account: MailAccount) -> None:
            view = await account.folder("INBOX")
            if not view.exists:
                return
            row = int(dice.uniform(0, view.exists))
            name = f"$k{int(dice.uniform(0, 6))}"
            number = number_of(await account.body(view.body(row)))
            done = await account.store("INBOX", [view.uids[row]], [name])
            if done.changed:
                self.told.flags.setdefault(number, set()).add(name)

        await node.do(flag)

    async def _move(self, account: MailAccount, dice: SeededDice) -> None:
        source, target = (FOLDERS[int(dice.uniform(0, 3))] for _ in range(2))
        view = await account.folder(source)
        if view.exists and source != target:
            await account.move(source, [view.uids[int(dice.uniform(0, view.exists))]], target)

    async def _expunge(self, account: MailAccount, dice: SeededDice) -> None:
        name = FOLDERS[int(dice.uniform(0, 3))]
        view = await account.folder(name)
        rows = range(view.exists)
        uids = [view.uids[row] for row in rows if victim(number_of(await account.body(view.body(row))))][:2]
        gone = await account.expunge(name, uids, only_deleted=False)
        self.told.expunged |= {(name, uid) for uid in gone}

    async def _keep(self, node: Node, dice: SeededDice) -> None:
        for _ in range(self._plan.steps):
            await self._clock.sleep(dice.uniform(0.0, 900.0))
            verb = int(dice.uniform(0, 5))

            async def tidy(account: MailAccount, verb: int = verb) -> None:
                match verb:
                    case 0:
                        await account.refresh()
                        await account.keep_snapshot()
                    case 1 | 4:
                        await account.compact()
                    case 2:
                        await account.reclaim(2 * GRACE)
                    case 3:
                        await Vacuum(account.log.reader, grace=GRACE, retention=2 * GRACE).run()

            try:
                await node.do(tidy)
            except (MerpatiError, Died):
                pass

    async def _read(self, node: Node, dice: SeededDice) -> None:
        for _ in range(self._plan.steps):
            await self._clock.sleep(dice.uniform(0.0, 900.0))
            try:
                await node.do(lambda account: self._look(account, dice))
            except Damaged as error:
                self._say(f"V2: {error}")
            except (MerpatiError, Died):
                pass

    async def _look(self, account: MailAccount, dice: SeededDice) -> None:
        name = FOLDERS[int(dice.uniform(0, 3))]
        before = account.log.tip.number if account.log.tip else 0
        view = await account.folder(name, fresh=True)
        self._seen(account, name, view, before)
        if view.exists:
            row = int(dice.uniform(0, view.exists))
            try:
                body = await account.body(view.body(row))
            except BodyMissing:
                self._say(f"V2: {name} UID {view.uids[row]} has no body")
            else:
                self._check_body(body, f"{name} UID {view.uids[row]}")

    # ---- what is held against it

    def _say(self, wrong: str) -> None:
        self.told.wrong.append(wrong)

    def _check_body(self, body: bytes, where: str) -> None:
        if body != letter(number_of(body)):
            self._say(f"V2: {where} is not what was sent")

    def _seen(self, account: MailAccount, name: str, view: FolderAt, before: int) -> None:
        tip = account.log.tip
        assert tip is not None
        if view.number < before:
            self._say(f"V4: {name} went back from {before} to {view.number}")
        if self.told.commits.setdefault(tip.number, tip.id) != tip.id:
            self._say(f"V6: two histories at {tip.number}")
        if list(view.uids) != sorted(set(view.uids)) or (view.exists and view.uids[-1] >= view.info.uidnext):
            self._say(f"V3: UIDs of {name} do not rise")
        for row, uid in enumerate(view.uids):
            if self.told.uids.setdefault((name, uid), view.email_id(row)) != view.email_id(row):
                self._say(f"V3: UID {uid} of {name} was used again")
        self.told.views.append((name, view.number, dict(zip(view.uids, view.flags, strict=True))))

    async def _judge(self) -> None:
        """On a good day, a new process looks at everything; before and after it has been tidied."""
        await self._clock.advance(3 * GRACE)
        for seed in (1, 2):
            boxes = AllMailboxes(self.truth, clock=self._clock, dice=SeededDice(seed))
            account = boxes.account(ACCOUNT)
            try:
                await account.refresh()
                await self._judge_mail(account)
                await self._judge_objects(account)
            except MerpatiError as error:
                self._say(f"V2: the mailbox cannot be read: {error}")
                return

    async def _judge_mail(self, account: MailAccount) -> None:
        there: dict[int, list[set[str]]] = {}
        for name in FOLDERS:
            view = await account.folder(name, fresh=True)
            self._seen(account, name, view, 0)
            self._judge_replay(name, view)
            summaries = await view.summaries(range(view.exists))
            for row, summary in enumerate(summaries):
                body = await account.body(view.body(row))
                self._check_body(body, name)
                number = number_of(body)
                there.setdefault(number, []).append(set(view.flag_names(view.flags[row])))
                if summary.subject != str(number):
                    self._say(f"V2: the summary of {number} is another's")
                if (name, view.uids[row]) in self.told.expunged:
                    self._say(f"V5: UID {view.uids[row]} of {name} was expunged and is there")
        for number in self.told.sent:
            copies = there.get(number, [])
            if len(copies) > 1 or (number in self.told.acked and not victim(number) and not copies):
                self._say(f"V1: message {number} is there {len(copies)} times")
            if copies and not self.told.flags.get(number, set()) <= copies[0]:
                self._say(f"V5: message {number} lost flags")

    def _judge_replay(self, name: str, view: FolderAt) -> None:
        """V4: whoever knew the folder at some commit, and hears what changed since, knows it now."""
        for which, number, knew in self.told.views:
            if which != name or number > view.number:
                continue
            now = dict(knew)
            for first, last in view.vanished_since(number):
                for uid in [uid for uid in now if first <= uid <= last]:
                    del now[uid]
            for row in view.changed_since(number):
                now[view.uids[row]] = view.flags[row]
            if now != dict(zip(view.uids, view.flags, strict=True)):
                self._say(f"V4: what changed in {name} since {number} does not lead to what is there")

    async def _judge_objects(self, account: MailAccount) -> None:
        """V7: after two rounds of tidying everything that is named is there, and nothing else is."""
        for _ in range(2):
            await account.compact()
            await self._clock.advance(2 * GRACE)
            await account.vacuum(GRACE)
            await self._clock.advance(2 * GRACE)
        for error in await verified(account.log.reader):
            self._say(f"V7: {error}")
        async for info in self.truth.list(LAYOUT.commits):
            if int(info.key[-20:]) <= account.view().number - 2:
                self._say(f"V7: {info.key} should have gone")
                break


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    wrong: list[str]
    digest: str
    """Of all that is in the store at the end."""
    deaths: int
    acked: int


def run(seed: int, plan: Plan | None = None) -> Ran:
    """Run a world to its end."""

    async def live() -> Ran:
        asyncio.get_running_loop().set_default_executor(Inline(1))
        world = World(seed, plan or Plan())
        wrong = await world.run()
        mix = hashlib.blake2b(digest_size=16)
        async for info in world.truth.list(""):
            mix.update(info.key.encode())
            mix.update(await world.truth.get(info.key))
        return Ran(wrong, mix.hexdigest(), world.deaths, len(world.told.acked))

    return asyncio.run(live())
