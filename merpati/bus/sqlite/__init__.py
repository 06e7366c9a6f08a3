"""The embedded bus: one SQLite file, shared by all processes of one machine.

`bus` is the engine that the rest of the project sees.  `writer` is the one thread of a process that writes (group
commit); `reading` is the pool of threads that read; `groups` is how members share partitions, `presence` how they learn
of each other's death, `wake` how one process tells another that there is news.
"""

from merpati.bus.sqlite.bus import SqliteBus

__all__ = ["SqliteBus"]
