"""Mail of a mailing list goes into a folder of the list, so that INBOX holds what was written to its owner.

A list says who it is in the List-Id field (RFC 2919): `Announcements <announce.lists.example.org>`.
"""

from __future__ import annotations

import re

import msgspec

from merpati.plugins import Answer, FileInto, Finding, Mail, Processor

_ID = re.compile(r"<([^<>\s]{1,255})>\s*\Z")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")


class ListFolders(Processor):
    """Files mail with a List-Id under `parent`, one folder for each list."""

    # Only header fields are looked at: a large message need not be fetched for this.
    wants_body = False

    class Options(msgspec.Struct, frozen=True, kw_only=True):
        parent: str = "Lists"
        """The folder above those of the lists."""
        except_from: tuple[str, ...] = ()
        """Lists, by their List-Id, whose mail stays in INBOX."""

    async def process(self, mail: Mail) -> Answer:
        list_id = list_id_of(mail.headers.get("List-Id") or "")
        if not list_id:
            return None
        found = Finding(list_id)  # for the trace, and for processors after this one
        if list_id in self.options.except_from:
            return found
        return [found, FileInto(f"{self.options.parent}/{folder_of(list_id)}")]


def list_id_of(field: str) -> str:
    """The identifier in a List-Id field, in lower case; empty if there is none."""
    match = _ID.search(field)
    return match[1].lower() if match else ""


def folder_of(list_id: str) -> str:
    """A folder name that whoever writes to the list cannot make mischief with: `announce.lists.x.org` is `announce`."""
    return _NOT_IN_NAMES.sub("-", list_id.partition(".")[0]).strip("-") or "other"
