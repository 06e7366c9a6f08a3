"""How a process that has written wakes those that wait for it: a datagram to a socket of theirs in the log's folder.

Called by the bus (`listen`) and by the writer's thread (`send`).  A datagram is a hint and may be lost: whoever waits
also looks by himself now and then.

Each process binds one socket, `all/<name>`, and links it into a folder for each topic it listens to, `<topic>/<name>`:
so nobody is woken for what does not concern him.  All paths go through an open descriptor of the folder, because a
socket's path may have 108 bytes only (unix(7)).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

DATAGRAMS = 64
"""Read in one go."""
MANY = 4
"""From so many datagrams on some may not have fitted into the socket's queue: then everything is rung for."""


class Wake:
    """This process's socket.  `ring(topics)` is called in the event loop with topic ids, or None for all."""

    def __init__(self, folder: Path, name: str, ring: Callable[[set[int] | None], None]) -> None:
        self._folder = folder
        self._name = name
        self._ring = ring
        self._topics: dict[int, int] = {}
        self._root = -1

    def open(self) -> None:
        """Bind, and be told of datagrams by the running event loop."""
        (self._folder / "all").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(self._path("all", self._name))
        self._loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Unbind, and remove our names."""
        if self._root < 0:
            return
        self._loop.remove_reader(self._socket.fileno())
        for place in ["all", *map(str, self._topics)]:
            with contextlib.suppress(OSError):
                os.unlink(self._path(place, self._name))
        self._socket.close()
        self._sender.close()
        os.close(self._root)
        self._root = -1

    def listen(self, topic: int) -> None:
        """Be woken for this topic from now on, until as many calls of `ignore`."""
        self._topics[topic] = self._topics.get(topic, 0) + 1
        if self._topics[topic] == 1:
            (self._folder / str(topic)).mkdir(exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                os.link(self._folder / "all" / self._name, self._folder / str(topic) / self._name)

    def ignore(self, topic: int) -> None:
        """The end of one `listen`."""
        self._topics[topic] -= 1
        if not self._topics[topic]:
            del self._topics[topic]
            with contextlib.suppress(OSError):
                os.unlink(self._path(str(topic), self._name))

    def send(self, topics: Iterable[int]) -> None:
        """Wake every other process that listens to one of `topics`.  From any thread."""
        for topic in topics:
            with contextlib.suppress(FileNotFoundError):
                for name in os.listdir(self._path(str(topic))):
                    if name != self._name:
                        self._send(str(topic), name)

    def _send(self, topic: str, name: str) -> None:
        try:
            self._sender.sendto(topic.encode(), self._path(topic, name))
        except ConnectionRefusedError:
            # Bound once, by a process that is dead.
            for place in (topic, "all"):
                with contextlib.suppress(OSError):
                    os.unlink(self._path(place, name))
        except OSError:
            # Its queue is full (it is awake, then), or it has just gone.
            pass

    def _read(self) -> None:
        topics: set[int] = set()
        for count in range(DATAGRAMS):
            try:
                topics.add(int(self._socket.recv(64)))
            except (BlockingIOError, InterruptedError):
                break
            except ValueError:
                count = MANY
                break
        self._ring(None if count >= MANY else topics)

    def _path(self, *parts: str) -> str:
        return "/".join(("/proc/self/fd", str(self._root), *parts))
