"""How the members of a group share partitions, as jobs for the writer: join, settle, commit, expel, rewind.

Called by subscriptions and the bus.  There is no leader: every member decides from the same tables who is to hold what
(`sharing`), gives up what is not his, and takes what is his and free.  Since all of it happens inside write
transactions, two can never hold one partition.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from merpati.bus.sharing import shares
from merpati.bus.sqlite.reading import bounds, generation_of, offset_since, processes
from merpati.bus.sqlite.transaction import Transaction
from merpati.errors import Temporary


@dataclass(frozen=True, slots=True)
class Settled:
    """What a member holds after settling: lanes and their positions, and those it is to give up as soon as it can."""

    generation: int
    held: dict[int, int]
    unwanted: frozenset[int]


def join(transaction: Transaction, group: str, process: str, token: str, topics: Collection[str]) -> int:
    """Become a member; its number.  `token` is the member's own: by it an earlier try is known again."""
    for topic in topics:
        transaction.topic(topic)
    leave(transaction, group, token)
    added = transaction.connection.execute(
        "INSERT INTO member (grp, process, token, topics) VALUES (?, ?, ?, ?)",
        (group, process, token, json.dumps(sorted(topics))),
    )
    _changed(transaction, group)
    assert added.lastrowid is not None
    return added.lastrowid


def settle(transaction: Transaction, group: str, member: int, busy: Collection[int]) -> Settled | None:
    """Give up what is another's, but for `busy` lanes, and take what is ours and free.

    None if the member has been expelled.
    """
    targets = _targets(transaction, group)
    if targets is None or member not in targets.members:
        return None
    give = [lane for lane, owner in targets.owners.items() if owner == member != targets.shared.get(lane)]
    given = [lane for lane in give if lane not in busy]
    taken = [lane for lane, owner in targets.shared.items() if owner == member and lane not in targets.owners]
    _assign(transaction, group, None, given)
    _assign(transaction, group, member, taken)
    if given or taken:
        _changed(transaction, group)
    rows = transaction.connection.execute(
        "SELECT lane, position FROM lease WHERE grp = ? AND member = ?", (group, member)
    )
    generation = generation_of(transaction.connection, group)
    return Settled(generation, dict(rows.fetchall()), frozenset(give) - frozenset(given))


def commit(transaction: Transaction, group: str, member: int, positions: Mapping[int, int]) -> bool:
    """Move positions on; whether the member still held every one of these lanes.  Those it lost are left alone."""
    held = True
    for lane, position in positions.items():
        moved = transaction.connection.execute(
            "UPDATE lease SET position = max(position, ?) WHERE grp = ? AND lane = ? AND member = ?",
            (position, group, lane, member),
        )
        held = held and moved.rowcount == 1
    return held


def leave(transaction: Transaction, group: str, token: str) -> None:
    """Give up everything, whether or not the answer to `join` ever came."""
    rows = transaction.connection.execute("SELECT id FROM member WHERE grp = ? AND token = ?", (group, token))
    expel(transaction, group, [member for (member,) in rows.fetchall()])


def expel(transaction: Transaction, group: str, members: Collection[int]) -> None:
    """Take members out of their group."""
    freed = 0
    for member in members:
        transaction.connection.execute("UPDATE lease SET member = NULL WHERE grp = ? AND member = ?", (group, member))
        freed += transaction.connection.execute("DELETE FROM member WHERE id = ? AND grp = ?", (member, group)).rowcount
    if freed:
        _changed(transaction, group)


def rewind(transaction: Transaction, group: str, topic: str, since: float) -> None:
    """Set the positions of a group without members."""
    if processes(transaction.connection, group):
        raise Temporary("the group has members", group=group)
    for lane in transaction.topic(topic).lanes:
        transaction.connection.execute(
            "INSERT INTO lease (grp, lane, position) VALUES (?, ?, ?)"
            " ON CONFLICT (grp, lane) DO UPDATE SET position = excluded.position",
            (group, lane, offset_since(transaction.connection, lane, since)),
        )


@dataclass(frozen=True, slots=True)
class _Targets:
    members: frozenset[int]
    owners: dict[int, int]
    shared: dict[int, int]


def _targets(transaction: Transaction, group: str) -> _Targets | None:
    """Who holds what now, and who is to."""
    rows = transaction.connection.execute("SELECT id, topics FROM member WHERE grp = ? ORDER BY id", (group,))
    wishes: dict[int, set[str]] = {member: set(json.loads(topics)) for member, topics in rows}
    if not wishes:
        return None
    owners: dict[int, int] = dict(
        transaction.connection.execute(
            "SELECT lane, member FROM lease WHERE grp = ? AND member IS NOT NULL", (group,)
        ).fetchall()
    )
    shared: dict[int, int] = {}
    for turn, name in enumerate(sorted(set().union(*wishes.values()))):
        topic = transaction.topic(name)
        members = [member for member, wanted in wishes.items() if name in wanted]
        held = {n: owners[lane] for n, lane in enumerate(topic.lanes) if lane in owners}
        shared |= {topic.lane(n): member for n, member in shares(members, topic.partitions, held, turn).items()}
    return _Targets(frozenset(wishes), owners, shared)


def _assign(transaction: Transaction, group: str, member: int | None, lanes: Iterable[int]) -> None:
    """A lane nobody in the group ever held begins at the oldest record."""
    for lane in lanes:
        floor = bounds(transaction.connection, range(lane, lane + 1))[lane][0]
        transaction.connection.execute(
            "INSERT INTO lease (grp, lane, position, member) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (grp, lane) DO UPDATE SET member = excluded.member",
            (group, lane, floor, member),
        )


def _changed(transaction: Transaction, group: str) -> None:
    """The other members are to settle too."""
    transaction.connection.execute(
        "INSERT INTO grp (name, generation) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET generation = generation + 1",
        (group,),
    )
    for (topics,) in transaction.connection.execute("SELECT topics FROM member WHERE grp = ?", (group,)).fetchall():
        for name in json.loads(topics):
            transaction.touched.add(transaction.topic(name).id)
