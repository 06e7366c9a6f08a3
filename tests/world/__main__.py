"""`make world ARGS="--seeds 5000"`: many worlds of every kind, in all processors; what went wrong is named by its seed.

A seed that failed is run again with `--kind` and `--seed`, and then a safeguard is missing, or the world is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import structlog

from tests.world.simulation import KINDS, Ran, run

Task = tuple[str, int]


def one(task: Task) -> Ran:
    """A world."""
    return run(task[1], KINDS[task[0]])


def quiet() -> None:
    """What the product logs about a bad world is no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def tasks(kinds: list[str], first: int, seeds: int) -> Iterator[Task]:
    """Kinds by turns."""
    return islice(((kind, seed) for seed in range(first, first + seeds) for kind in kinds), seeds)


def said(task: Task, ran: Ran) -> str:
    """What went wrong, and how to see it again."""
    again = f'make world ARGS="--kind {task[0]!r} --seed {task[1]}"'
    return "\n  ".join((f"{task[0]}, seed {task[1]}: {len(ran.wrong)} wrong   {again}", *dict.fromkeys(ran.wrong[:8])))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds, of all kinds together")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="only worlds of this kind")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    kinds = wanted.kind or list(KINDS)
    first, seeds = (wanted.first, wanted.seeds) if wanted.seed is None else (wanted.seed, len(kinds))
    all_tasks = list(tasks(kinds, first, seeds))
    bad: list[Task] = []
    sums, done = Counter[str](), Counter[str]()
    with ProcessPoolExecutor(wanted.processes, initializer=quiet) as pool:
        for task, ran in zip(all_tasks, pool.map(one, all_tasks, chunksize=4), strict=True):
            sums.update(acked=ran.acked, deaths=ran.deaths, commits=ran.commits)
            done.update(ran.done)
            if ran.wrong:
                bad.append(task)
                print(said(task, ran), flush=True)
    print(f"{len(all_tasks)} worlds, {sums['commits']} commits, {sums['acked']} messages acknowledged, ", end="")
    print(f"{sums['deaths']} deaths; {', '.join(f'{count} {what}' for what, count in done.most_common())}")
    print(f"{len(bad)} worlds went wrong" + "".join(f"\n  {kind}: seed {seed}" for kind, seed in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
