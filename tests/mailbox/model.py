"""A mailbox as a child would write it: dictionaries, and a loop for everything.  What the real one is compared with."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


class Model:
    """A mailbox as a child would write it: dictionaries, and a loop for everything."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[int, Message]] = {
            name: {} for name in ("INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash")
        }
        self.uidnext = dict.fromkeys(self.folders, 1)
        self.subscribed = set(self.folders)
        self.notes: dict[str, bytes] = {}
        self.count = 0

    def make(self, name: str) -> None:
        levels = name.split("/")
        for count in range(1, len(levels) + 1):
            each = "/".join(levels[:count])
            if each not in self.folders:
                self.folders[each], self.uidnext[each] = {}, 1

    def add(self, name: str, body: bytes, flags: set[str], modseq: int, origin: int = 0) -> int:
        """`origin`: whose copy it is."""
        self.count += 1
        uid = self.uidnext[name]
        self.folders[name][uid] = {
            "body": body, "flags": set(flags), "modseq": modseq, "origin": origin or self.count
        }  # fmt: skip
        self.uidnext[name] += 1
        return uid

    def flag(self, message: Message, flags: set[str], mode: str, modseq: int, since: int | None) -> None:
        if since is not None and message["modseq"] > since:
            return
        old = message["flags"]
        new = flags if mode == "set" else old | flags if mode == "add" else old - flags
        if new != old:
            message["flags"], message["modseq"] = set(new), modseq

    def restore(self, name: str, past: dict[int, Message], modseq: int) -> None:
        there = {message["origin"] for message in self.folders.get(name, {}).values()}
        missing = [message for _, message in sorted(past.items()) if message["origin"] not in there]
        if missing:
            self.make(name)
        for message in missing:
            self.add(name, message["body"], message["flags"], modseq, message["origin"])

    def rename(self, old: str, new: str, modseq: int) -> None:
        if old == "INBOX":
            self.make(new)
            for uid in sorted(self.folders[old]):
                message = self.folders[old].pop(uid)
                self.add(new, message["body"], message["flags"], modseq, message["origin"])
            return
        moved = [name for name in self.folders if name == old or name.startswith(old + "/")]
        for name in sorted(moved):
            target = new + name[len(old) :]
            self.folders[target], self.uidnext[target] = self.folders.pop(name), self.uidnext.pop(name)
            if name in self.notes:
                self.notes[target] = self.notes.pop(name)
            if name in self.subscribed:
                self.subscribed = self.subscribed | {target}
