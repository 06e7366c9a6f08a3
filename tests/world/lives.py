"""Those who live in the world: what deliveries, clients, readers, keepers and operators do to the mailbox.

Each does one thing after the other through its node, and tells the recorder what it was promised and what it saw.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from merpati.errors import MerpatiError, Permanent, Unknown
from merpati.ids import SeededDice
from merpati.log.api import Damaged
from merpati.log.reading import GRACE
from merpati.log.travel import OutOfReach, Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, BodyMissing
from merpati.mailbox.restoring import restored
from merpati.upkeep.blobs import BlobVacuum
from tests.world.letters import TWINS, as_large, large, large_part, letter, number_of, prodigal, victim
from tests.world.missing import Missing, reclaimed
from tests.world.nodes import Died, Node
from tests.world.told import Told
from tests.world.virtual import VirtualClock

FOLDERS = ("INBOX", "Archive", "Junk")
"""Out of these nothing goes but victims; others come and go."""
PASSING = ("x", "x/y", "z", "x/y/w")
FLAGS = tuple(f"$k{number}" for number in range(6))
WINDOW = 2 * GRACE
"""Seconds of the past that the keepers keep."""


def one_of(dice: SeededDice, choices: tuple[str, ...]) -> str:
    return choices[int(dice.uniform(0, len(choices)))]


class Lives:
    """One for all."""

    def __init__(self, clock: VirtualClock, told: Told, missing: Missing, horizon: float) -> None:
        self._clock = clock
        self._told = told
        self._missing = missing
        self._horizon = horizon
        self._next = 0

    async def live(
        self,
        node: Node,
        dice: SeededDice,
        steps: int,
        pause: float,
        step: Callable[[Node, SeededDice], Awaitable[None]],
    ) -> None:
        """Do it `steps` times, with pauses of up to `pause` seconds."""
        for _ in range(steps):
            await self._clock.sleep(dice.uniform(0.0, pause))
            if self._told.ending:
                return  # who removes an account has told everybody; what is under way may take its time
            try:
                await step(node, dice)
            except Permanent as error:
                if isinstance(error, OutOfReach):
                    self._told.done["out of reach"] += 1
            except Damaged as error:
                self._told.done["damaged"] += 1
                if step == self.read and not self._told.ending:
                    self._told.say(f"V2: {error} {error.facts}")
            except (MerpatiError, Died):
                pass

    # ---- writers

    async def write(self, node: Node, dice: SeededDice) -> None:
        """A delivery, or what a client does."""
        verb = int(dice.uniform(0, 100))
        if verb < 40:
            await self.deliver(node)
        elif verb < 48:
            await self._append_twin(node, dice)
        else:
            verbs = (
                (62, self._flag), (76, self._move), (82, self._copy), (90, self._expunge), (97, self._arrange),
                (100, self._restore),
            )  # fmt: skip
            verb_of = next(each for limit, each in verbs if verb < limit)
            await node.do(lambda account: verb_of(account, dice))
            self._told.done[verb_of.__name__.strip("_")] += 1

    async def deliver(self, node: Node) -> None:
        """Until it is acknowledged, as a delivery worker does."""
        number = self._next = self._next + 1
        self._told.sent.add(number)
        cause = "" if self._missing.causes else f"cause {number}"
        for _ in range(20):
            if self._told.ending:
                return
            try:
                await node.do(lambda account: self._deliver_once(account, number, cause))
            except (Unknown, Died):
                if self._missing.own_id:
                    return  # an ablation: only what was acknowledged is to count
            except MerpatiError:
                pass
            else:
                self._told.acked.add(number)
                return
            await self._clock.sleep(30.0)

    async def _deliver_once(self, account: MailAccount, number: int, cause: str) -> None:
        message = Append("INBOX", letter(number), cause=cause)
        if large(number):
            message = as_large(number, await account.put_large(_pieces(large_part(number)[1])), cause)
        (put,) = await account.append([message])
        self._told.placed.append((number, put.folder, put.uid))

    async def _append_twin(self, node: Node, dice: SeededDice) -> None:
        """An APPEND of a client that is byte for byte what another may be writing at the same moment."""
        number = TWINS[int(dice.uniform(0, len(TWINS)))]
        self._told.tried[number] += 1
        (put,) = await node.do(lambda account: account.append([Append("Archive", letter(number), date=1.0)]))
        self._told.placed.append((number, put.folder, put.uid))
        self._told.appended[number] += 1

    async def _flag(self, account: MailAccount, dice: SeededDice) -> None:
        name, flag = one_of(dice, FOLDERS), one_of(dice, FLAGS)
        view = await account.folder(name)
        if not view.exists:
            return
        uid = view.uids[int(dice.uniform(0, view.exists))]
        since = None if dice.uniform(0, 1) < 0.7 else int(view.info.highestmodseq)
        done = await account.store(name, [uid], [flag], unchanged_since=since)
        if done.changed:
            self._told.flagged.append((int(done.modseq), view.info.id, uid, flag))

    async def _move(self, account: MailAccount, dice: SeededDice) -> None:
        source, target = one_of(dice, FOLDERS), one_of(dice, FOLDERS)
        view = await account.folder(source)
        if view.exists and source != target:
            done = await account.move(source, [view.uids[int(dice.uniform(0, view.exists))]], target)
            pairs = zip(done.source, done.target, strict=True)
            self._told.copied += [(view.info.id, uid, done.folder, copy) for uid, copy in pairs]
            self._told.expunged |= {(view.info.id, uid) for uid in done.source}

    async def _copy(self, account: MailAccount, dice: SeededDice) -> None:
        """Into a folder that may be gone the next moment."""
        view = await account.folder(one_of(dice, FOLDERS))
        names = [name for name in (await account.refresh()).folders if name.partition("/")[0] in PASSING]
        if names and view.exists:
            uids = list(view.uids[int(dice.uniform(0, view.exists)) :][:3])
            done = await account.copy(view.info.id, uids, one_of(dice, tuple(names)))
            pairs = zip(done.source, done.target, strict=True)
            self._told.copied += [(view.info.id, uid, done.folder, copy) for uid, copy in pairs]

    async def _expunge(self, account: MailAccount, dice: SeededDice) -> None:
        view = await account.folder(one_of(dice, FOLDERS))
        rows = range(view.exists)
        uids = [view.uids[row] for row in rows if victim(number_of(await account.body(view.body(row))))][:2]
        gone = await account.expunge(view.info.id, uids, only_deleted=False)
        self._told.expunged |= {(view.info.id, uid) for uid in gone}

    async def _arrange(self, account: MailAccount, dice: SeededDice) -> None:
        """Make, rename or remove a folder."""
        name, verb = one_of(dice, PASSING), dice.uniform(0, 4)
        folders = (await account.refresh()).folders
        if name not in folders:
            await account.create(name)
        elif verb < 1:
            identity = folders[name].id
            await account.delete(name)
            self._told.removed.append(identity)
        elif verb < 3:
            new = one_of(dice, PASSING)
            identity = folders[name].id
            await account.rename(name, new)
            self._told.renamed.append((identity, new))
        else:
            await account.set_metadata(name, {"/private/comment": f"{dice.uniform(0, 9):.3f}".encode()})

    async def _restore(self, account: MailAccount, dice: SeededDice) -> None:
        """Bring back expunged messages of an earlier state into place, or a whole folder beside it."""
        tip = (await account.refresh()).number
        travel = Travel(account.log.reader)
        past = (await travel.state_at(max(2, tip - int(dice.uniform(0, 40))))).state
        name = one_of(dice, FOLDERS)
        if dice.uniform(0, 1) < 0.5:
            await restored(account, past, folder=name, beside="z")
            return
        view = account.past_folder(past.find(name), past)
        summaries = await view.summaries(range(view.exists))
        wanted = [uid for uid, each in zip(view.uids, summaries, strict=True) if prodigal(int(each.subject))]
        if wanted:
            await restored(account, past, folder=name, uids=wanted)

    # ---- keepers

    async def keep(self, node: Node, dice: SeededDice) -> None:
        """What the operator's schedule does."""
        verb = int(dice.uniform(0, 6 if not self._horizon else 8))

        async def tidy(account: MailAccount) -> None:
            match verb:
                case 0:
                    await account.refresh()
                    await account.keep_snapshot()
                case 1 | 2:
                    await account.compact()
                case 3:
                    await reclaimed(account, WINDOW)
                case 4 | 5:
                    await account.vacuum(WINDOW)
                case _:
                    self._told.done["blobs"] += await self._vacuum_blobs(account)

        await node.do(tidy)
        self._told.done["keep"] += 1

    async def _vacuum_blobs(self, account: MailAccount) -> int:
        """How many large bodies went."""
        reader = account.log.reader
        horizon = -GRACE if self._missing.blob_horizon else self._horizon
        vacuum = BlobVacuum(reader.store, reader.clock, reader.dice, retention=WINDOW, horizon=horizon)
        return (await vacuum.run()).removed

    # ---- readers

    async def read(self, node: Node, dice: SeededDice) -> None:
        """Look at a folder as it is now, and at one of its messages; or wait for news as IDLE does."""
        if dice.uniform(0, 1) < 0.3:
            await node.do(self._idle)
        else:
            await node.do(lambda account: self._look(account, dice))
        self._told.done["read"] += 1

    async def _look(self, account: MailAccount, dice: SeededDice) -> None:
        before = max(self._told.acknowledged, account.log.tip.number if account.log.tip else 0)
        name = one_of(dice, FOLDERS)
        view = await account.folder(name, fresh=True)
        self._told.check_state(account, before)
        if view.exists:
            row = int(dice.uniform(0, view.exists))
            try:
                body = await account.body(view.body(row))
            except BodyMissing as error:
                self._told.say(f"V2: {name} UID {view.uids[row]} has no body: {error} {error.facts}")
            else:
                self._told.check_body(body, f"{name} UID {view.uids[row]}")

    async def _idle(self, account: MailAccount) -> None:
        """What a process learns by pushes alone is as true as what it reads."""
        await account.folder("INBOX")
        for _ in range(3):
            await self._clock.sleep(20.0)
            self._told.check_state(account)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data[:7]
    yield data[7:]
