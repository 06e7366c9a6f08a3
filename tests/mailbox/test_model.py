"""Any sequence of verbs gives what a naive model of a mailbox gives, to the writer and to whoever reads the log.

And whichever way it is read: from its commits alone, from any snapshot and the commits after it, after a compaction, or
by someone who knew an earlier state and hears what changed since.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from merpati.clock import ManualClock
from merpati.errors import Permanent
from merpati.ids import SeededDice
from merpati.log.layout import counted_down
from merpati.log.snapshots import read_snapshot, tip_of
from merpati.log.travel import Travel
from merpati.mailbox.account import MailAccount
from merpati.mailbox.api import Append, Large
from merpati.mailbox.fold import MailboxFold
from merpati.mailbox.restoring import restored
from merpati.mailbox.runs import Shelf
from merpati.mailbox.views import FolderAt
from merpati.objects.memory import MemoryStore
from tests.log.lists import in_virtual_time
from tests.mailbox.model import Message, Model
from tests.mailbox.worlds import ACCOUNT, LAYOUT, fresh, mail, mailboxes, messages
from tests.world.truth import History, Truth, fingerprint

FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "$a", "$b"]
NAMES = ["INBOX", "Sent", "a", "a/b", "a/b/c", "x", "x/y"]


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Keeping(Truth):
    """Remembers every object that was ever there."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock, LAYOUT)
        self.everything = MemoryStore(clock)

    async def create(self, key: str, data: bytes) -> None:
        await super().create(key, data)
        await self.everything.put(key, data)

    async def put(self, key: str, data: bytes) -> None:
        await super().put(key, data)
        await self.everything.put(key, data)


class Verbs(RuleBasedStateMachine):
    """Two nodes do things by turns; each must see what the model says."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = Keeping(self.clock)
        self.nodes = [mailboxes(self.store, self.clock).account(ACCOUNT), fresh(self.store, self.clock, 7)]
        self.turn = 0
        self.model = Model()
        self.past: dict[int, dict[str, dict[int, Message]]] = {}
        self.count = 0
        self.causes = set[str]()
        for node in self.nodes:
            self.run(node.refresh())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(in_virtual_time(self.clock, work))

    @property
    def node(self) -> MailAccount:
        self.turn += 1
        return self.nodes[self.turn % 2]

    @property
    def now(self) -> int:
        """The number of the last commit."""
        return max(self.store.commits)

    def refused(self, work: Coroutine[Any, Any, Any]) -> bool:
        try:
            self.run(work)
        except Permanent:
            return True
        return False

    @rule(name=st.sampled_from(NAMES), flags=st.sets(st.sampled_from(FLAGS)), many=st.integers(1, 3))
    def append(self, name: str, flags: set[str], many: int) -> None:
        numbers = range(self.count, self.count + many)
        self.count += many
        work = self.node.append(messages(*numbers, folder=name, flags=tuple(sorted(flags))))
        if self.refused(work):
            assert name not in self.model.folders
            return
        for number in numbers:
            self.model.add(name, mail(number), flags, self.now)

    @rule(name=st.sampled_from(NAMES), prefix=st.sampled_from([b"", b"Received: x\r\n"]), cut=st.booleans())
    def append_large(self, name: str, prefix: bytes, cut: bool) -> None:
        self.count += 1
        body, node = mail(self.count), self.node
        stored = self.run(node.put_large(pieces(body)))
        large = Large(stored.key, stored.digest, stored.size, prefix, ((3, 9),) if cut else ())
        if self.refused(node.append([Append(name, large)])):
            assert name not in self.model.folders
            return
        self.model.add(name, prefix + (body[:3] + body[9:] if cut else body), set(), self.now)

    @rule(cause=st.sampled_from("abc"))
    def deliver(self, cause: str) -> None:
        """The first message of a cause is taken, and no other ever."""
        self.count += 1
        (done,) = self.run(self.node.append([Append("INBOX", mail(self.count), cause=cause)]))
        assert done.duplicate == (cause in self.causes)
        if not done.duplicate:
            self.causes.add(cause)
            self.model.add("INBOX", mail(self.count), set(), self.now)

    @rule(
        name=st.sampled_from(NAMES),
        uids=st.lists(st.integers(1, 8), max_size=5),
        flags=st.sets(st.sampled_from(FLAGS)),
        mode=st.sampled_from(["set", "add", "remove"]),
        since=st.none() | st.integers(0, 5),
    )
    def flag(self, name: str, uids: list[int], flags: set[str], mode: Any, since: int | None) -> None:
        unchanged = None if since is None else self.now - since
        work = self.node.store(name, uids, sorted(flags), mode=mode, unchanged_since=unchanged)
        if self.refused(work):
            assert name not in self.model.folders
            return
        for uid in set(uids) & set(self.model.folders[name]):
            self.model.flag(self.model.folders[name][uid], flags, mode, self.now, unchanged)

    @rule(name=st.sampled_from(NAMES), uids=st.none() | st.lists(st.integers(1, 8), max_size=5), only=st.booleans())
    def expunge(self, name: str, uids: list[int] | None, only: bool) -> None:
        if self.refused(self.node.expunge(name, uids, only_deleted=only)):
            assert name not in self.model.folders
            return
        folder = self.model.folders[name]
        for uid in list(folder):
            if (uids is None or uid in uids) and (not only or "\\Deleted" in folder[uid]["flags"]):
                del folder[uid]

    @rule(
        source=st.sampled_from(NAMES),
        into=st.sampled_from(NAMES),
        uids=st.lists(st.integers(1, 8), max_size=5),
        move=st.booleans(),
    )
    def copy_or_move(self, source: str, into: str, uids: list[int], move: bool) -> None:
        node = self.node
        if self.refused(node.move(source, uids, into) if move else node.copy(source, uids, into)):
            assert source not in self.model.folders or into not in self.model.folders
            return
        for uid in sorted(set(uids) & set(self.model.folders[source])):
            message = self.model.folders[source][uid]
            self.model.add(into, message["body"], message["flags"], self.now, message["origin"])
            if move:
                del self.model.folders[source][uid]

    @rule(name=st.sampled_from(NAMES))
    def create(self, name: str) -> None:
        if self.refused(self.node.create(name)):
            assert name in self.model.folders
        else:
            self.model.make(name)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        if self.refused(self.node.delete(name)):
            assert name == "INBOX" or name not in self.model.folders
            return
        del self.model.folders[name], self.model.uidnext[name]
        self.model.notes.pop(name, None)

    @rule(old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, old: str, new: str) -> None:
        if self.refused(self.node.rename(old, new)):
            below = [new + name[len(old) :] for name in self.model.folders if name.startswith(old + "/")]
            assert old not in self.model.folders or new.startswith(old) or {new, *below} & set(self.model.folders)
            return
        if "/" in new:
            self.model.make(new.rpartition("/")[0])
        self.model.rename(old, new, self.now)

    @rule(name=st.sampled_from(NAMES), on=st.booleans())
    def subscribe(self, name: str, on: bool) -> None:
        self.run(self.node.subscribe(name) if on else self.node.unsubscribe(name))
        self.model.subscribed = self.model.subscribed | {name} if on else self.model.subscribed - {name}

    @rule(name=st.sampled_from(NAMES), value=st.sampled_from([b"1", b"2", None]))
    def annotate(self, name: str, value: bytes | None) -> None:
        if self.refused(self.node.set_metadata(name, {"/private/comment": value})):
            assert name not in self.model.folders
        elif value is None:
            self.model.notes.pop(name, None)
        else:
            self.model.notes[name] = value

    @rule(back=st.integers(0, 10), name=st.sampled_from(NAMES))
    def restore(self, back: int, name: str) -> None:
        """A folder as it was some commits ago, into place: what is not there comes back."""
        number = max(self.past)
        number = max(2, number - back)
        past = self.past.get(number, {})
        if name not in past:
            return
        node = self.node
        state = self.run(Travel(node.log.reader).state_at(number)).state
        if name not in self.model.folders and not past[name]:
            return  # nothing to bring back, and a folder without messages is not made
        assert self.run(restored(node, state, folder=name)).lost == 0
        self.model.restore(name, past[name], self.now)

    @rule(seconds=st.sampled_from([1.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))

    @rule()
    def snapshot(self) -> None:
        self.run(self.node.keep_snapshot())

    @rule()
    def compact(self) -> None:
        self.run(self.node.compact())

    @rule()
    def vacuum(self) -> None:
        self.run(self.node.vacuum(7 * 86_400.0))

    @rule()
    def restart(self) -> None:
        self.turn += 1
        self.nodes[self.turn % 2] = fresh(self.store, self.clock, 1000 + self.turn)
        self.run(self.nodes[self.turn % 2].refresh())

    @invariant()
    def every_node_sees_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        for node in (self.nodes[0], fresh(self.store, self.clock, 5)):
            self.run(self.compare(node))
        self.past[self.now] = copy.deepcopy(self.model.folders)

    async def compare(self, node: MailAccount) -> None:
        view = await node.refresh()
        assert set(view.folders) == set(self.model.folders)
        assert view.messages == sum(map(len, self.model.folders.values()))
        for name, expected in self.model.folders.items():
            await self.compare_folder(node, await node.folder(name), expected)
            assert view.folders[name].uidnext == self.model.uidnext[name]
            assert view.metadata(name).get("/private/comment") == self.model.notes.get(name)
        assert view.subscriptions == self.model.subscribed

    async def compare_folder(self, node: MailAccount, folder: FolderAt, expected: dict[int, Message]) -> None:
        assert list(folder.uids) == sorted(expected)
        for row, uid in enumerate(folder.uids):
            message = expected[uid]
            assert set(folder.flag_names(folder.flags[row])) == message["flags"]
            assert await node.body(folder.body(row)) == message["body"]
            assert folder.sizes[row] == len(message["body"])
            assert folder.modseqs[row] == message["modseq"]
            assert folder.modseqs[row] <= folder.info.highestmodseq <= node.view().number
        (summaries,) = [await folder.summaries(range(folder.exists))]
        assert [each.size for each in summaries] == list(folder.sizes)
        info = folder.info
        flags = [message["flags"] for message in expected.values()]
        assert info.exists == len(expected)
        assert info.unseen == sum("\\Seen" not in each for each in flags)
        assert info.deleted == sum("\\Deleted" in each for each in flags)
        assert info.size == sum(len(message["body"]) for message in expected.values())
        gone = {uid for first, last in folder.vanished_since(0) for uid in range(first, last + 1)}
        assert gone == set(range(1, info.uidnext)) - set(expected)

    async def judge_history(self) -> None:
        """Every state, read in every way."""
        history = History(self.store)
        end = fingerprint(history.last().state)
        async for info in self.store.everything.list(LAYOUT.snapshots):
            snapshot = await read_snapshot(self.store.everything, LAYOUT, counted_down(info.key))
            fold = MailboxFold(Shelf())
            tip = await tip_of(self.store.everything, LAYOUT, fold, SeededDice(1), snapshot)
            assert fingerprint(tip.state) == history.print_at(tip.number)
            assert fingerprint(history.led_on(tip).state) == end
        account = fresh(self.store, self.clock, 6)
        await account.refresh()
        assert account.log.tip is not None and fingerprint(account.log.tip.state) == end
        for name in account.view().folders:
            await self.judge_changes(history, await account.folder(name))

    async def judge_changes(self, history: History, folder: FolderAt) -> None:
        """RFC 7162: whoever knew the folder at any commit, and hears what changed since, knows it now."""
        for number in range(2, history.last().number + 1):
            tip = history.at(number)
            before = tip.state.folders.get(folder.info.id) if tip else None
            if before is None:
                continue
            columns = before.columns
            now = dict(zip(columns.uids[: columns.length], columns.flags[: columns.length], strict=True))
            gone = [uid for first, last in folder.vanished_since(number) for uid in range(first, last + 1)]
            now = {uid: flags for uid, flags in now.items() if uid not in gone}
            now.update((folder.uids[row], folder.flags[row]) for row in folder.changed_since(number))
            assert now == dict(zip(folder.uids, folder.flags, strict=True))

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                self.run(self.judge_history())
            finally:
                self.loop.close()


TestVerbs = pytest.mark.slow(Verbs.TestCase)
TestVerbs.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
