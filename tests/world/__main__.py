"""`make world ARGS="--seeds 1000"`: many worlds, one after the other; the seeds that went wrong are named."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.world.simulation import Plan, Ran, run

KINDS = (Plan(), Plan(pauses=0.02), Plan(steps=15, lives=(8.0, 50.0)))


def one(seed: int) -> Ran:
    """Each seed is a world of one kind."""
    return run(seed, KINDS[seed % len(KINDS)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=1)
    wanted = parser.parse_args()
    seeds = range(wanted.first, wanted.first + wanted.seeds)
    bad = acked = deaths = 0
    with ProcessPoolExecutor(wanted.processes) as pool:
        for seed, ran in zip(seeds, pool.map(one, seeds), strict=True):
            acked, deaths = acked + ran.acked, deaths + ran.deaths
            if ran.wrong:
                bad += 1
                print(f"seed {seed}: {len(ran.wrong)} wrong", *ran.wrong[:5], sep="\n  ", flush=True)
    print(f"{len(seeds)} worlds, {acked} messages acknowledged, {deaths} deaths: {bad} worlds went wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
