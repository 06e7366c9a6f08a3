"""Who of a group holds which partition.  One pure function, run by every member on the same facts.

Called by the SQLite and memory engines (Kafka has its own assignor).  Each topic is shared on its own, so that two
members each get half of every topic; whoever holds partitions keeps them as far as fairness lets him.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Member = TypeVar("Member")


def quotas(members: Sequence[Member], partitions: int, turn: int) -> dict[Member, int]:
    """How many of a topic's partitions each member may hold; members come in the order in which they joined.

    `turn` (the topic's place among the group's topics) moves the odd ones on, so that nobody gets one more everywhere.
    """
    if not members:
        return {}
    each, odd = divmod(partitions, len(members))
    favoured = {(turn * odd + n) % len(members) for n in range(odd)}
    return {member: each + (place in favoured) for place, member in enumerate(members)}


def shares(
    members: Sequence[Member], partitions: int, owners: Mapping[int, Member], turn: int = 0
) -> dict[int, Member]:
    """The member that is to hold each partition of one topic.

    `owners` says who holds a partition now; the partitions of members that are gone, or that hold more than their
    quota, go to those that hold fewer.
    """
    left = quotas(members, partitions, turn)
    kept: dict[int, Member] = {}
    for partition in range(partitions):
        owner = owners.get(partition)
        if owner is not None and left.get(owner, 0) > 0:
            kept[partition] = owner
            left[owner] -= 1
    hungry = [member for member, count in left.items() for _ in range(count)]
    free = (partition for partition in range(partitions) if partition not in kept)
    return kept | dict(zip(free, hungry, strict=False))
