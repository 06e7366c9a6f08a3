"""Any sequence of verbs gives what a naive model of a mailbox gives, to the writer and to whoever reads the log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from merpati.clock import ManualClock
from merpati.errors import Permanent
from merpati.mailbox.account import MailAccount
from merpati.mailbox.views import FolderAt
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, mail, mailboxes, messages

FLAGS = ["\\Seen", "\\Deleted", "\\Flagged", "$a", "$b"]
NAMES = ["INBOX", "Sent", "a", "a/b", "a/b/c", "x", "x/y"]

Message = dict[str, Any]


class Model:
    """A mailbox as a child would write it: dictionaries, and a loop for everything."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[int, Message]] = {
            name: {} for name in ("INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash")
        }
        self.uidnext = dict.fromkeys(self.folders, 1)

    def make(self, name: str) -> None:
        levels = name.split("/")
        for count in range(1, len(levels) + 1):
            each = "/".join(levels[:count])
            if each not in self.folders:
                self.folders[each], self.uidnext[each] = {}, 1

    def add(self, name: str, body: bytes, flags: set[str]) -> int:
        uid = self.uidnext[name]
        self.folders[name][uid] = {"body": body, "flags": set(flags)}
        self.uidnext[name] += 1
        return uid

    def rename(self, old: str, new: str) -> None:
        moved = [name for name in self.folders if name == old or name.startswith(old + "/")]
        for name in sorted(moved):
            target = new + name[len(old) :]
            self.folders[target], self.uidnext[target] = self.folders.pop(name), self.uidnext.pop(name)


class Verbs(RuleBasedStateMachine):
    """Two nodes do things by turns; each must see what the model says."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.nodes = [mailboxes(self.store, self.clock).account(ACCOUNT), fresh(self.store, self.clock, 7)]
        self.turn = 0
        self.model = Model()
        self.count = 0
        for node in self.nodes:
            self.run(node.refresh())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def node(self) -> MailAccount:
        self.turn += 1
        return self.nodes[self.turn % 2]

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
            self.model.add(name, mail(number), flags)

    @rule(
        name=st.sampled_from(NAMES),
        uids=st.lists(st.integers(1, 8), max_size=5),
        flags=st.sets(st.sampled_from(FLAGS)),
        mode=st.sampled_from(["set", "add", "remove"]),
    )
    def flag(self, name: str, uids: list[int], flags: set[str], mode: Any) -> None:
        if self.refused(self.node.store(name, uids, sorted(flags), mode=mode)):
            assert name not in self.model.folders
            return
        for uid in set(uids) & set(self.model.folders[name]):
            message = self.model.folders[name][uid]
            old = message["flags"]
            message["flags"] = flags if mode == "set" else old | flags if mode == "add" else old - flags

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
            self.model.add(into, message["body"], message["flags"])
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

    @rule(old=st.sampled_from(NAMES[1:]), new=st.sampled_from(NAMES))
    def rename(self, old: str, new: str) -> None:
        if self.refused(self.node.rename(old, new)):
            below = [new + name[len(old) :] for name in self.model.folders if name.startswith(old + "/")]
            assert old not in self.model.folders or new.startswith(old) or {new, *below} & set(self.model.folders)
            return
        if "/" in new:
            self.model.make(new.rpartition("/")[0])
        self.model.rename(old, new)

    @rule(seconds=st.sampled_from([1.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(self.clock.advance(seconds))

    @invariant()
    def every_node_sees_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        for node in (self.nodes[0], fresh(self.store, self.clock, 5)):
            self.run(self.compare(node))

    async def compare(self, node: MailAccount) -> None:
        view = await node.refresh()
        assert set(view.folders) == set(self.model.folders)
        assert view.messages == sum(map(len, self.model.folders.values()))
        for name, expected in self.model.folders.items():
            await self.compare_folder(node, await node.folder(name), expected)
            assert view.folders[name].uidnext == self.model.uidnext[name]

    async def compare_folder(self, node: MailAccount, folder: FolderAt, expected: dict[int, Message]) -> None:
        assert list(folder.uids) == sorted(expected)
        for row, uid in enumerate(folder.uids):
            message = expected[uid]
            assert set(folder.flag_names(folder.flags[row])) == message["flags"]
            assert await node.body(folder.body(row)) == message["body"]
            assert folder.sizes[row] == len(message["body"])
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

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()


TestVerbs = Verbs.TestCase
TestVerbs.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
