"""The base subject of RFC 5256 section 2.1: what is left when "Re:", "[list]" and "(fwd)" are taken away.

Called by the summary for SORT and THREAD.
"""

from __future__ import annotations

import re

MAX_SUBJECT = 1_000
"""Characters of a subject that are kept and compared."""

_BLOB = r"\[[^\[\]]*+\]\s*+"
_LEADER = re.compile(rf"(?:{_BLOB})*(?:re|fwd?)\s*+(?:{_BLOB})?:", re.IGNORECASE)
_BLOB_AHEAD = re.compile(_BLOB)
_MARKS = re.compile(r"[\[:(]")
"""Without any of these there is no blob, no leader and no trailer."""


def base_subject(subject: str) -> tuple[str, bool]:
    """The base subject of a decoded subject, and whether it says that this is a reply or was passed on.

    Case is kept: the collation that compares it folds it.
    """
    # Step 1: runs of white space are one space.
    text = " ".join(subject[:MAX_SUBJECT].split())
    answered = False
    if _MARKS.search(text) is None:
        return text, answered
    while True:
        # Step 2: trailers.
        while text[-5:].lower() == "(fwd)":
            text = text[:-5].rstrip()
            answered = True
        # Steps 3 to 5: leaders, and a blob if something is left behind it.
        at = 0
        while True:
            if leader := _LEADER.match(text, at):
                at = leader.end()
                answered = True
            elif text[at : at + 1] == " ":
                at += 1
            elif (blob := _BLOB_AHEAD.match(text, at)) and blob.end() < len(text):
                at = blob.end()
            else:
                break
        text = text[at:]
        # Step 6: "[Fwd: …]".
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text = text[5:-1].strip()
            answered = True
            continue
        return text, answered
