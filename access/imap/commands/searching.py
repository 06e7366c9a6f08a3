"""SEARCH, with the results of RFC 4731 (ESEARCH) and the variable of RFC 5182 (SEARCHRES)."""

from __future__ import annotations

from collections.abc import Sequence

from access.imap.searching import Search as Searching
from access.imap.selected import Found, highest, uids_of
from access.imap.session import Session
from access.imap.table import Reply, State, command
from access.imap.wire import responses
from access.imap.wire import search as keys
from access.imap.wire.commands import Search
from access.imap.wire.sequence import STAR, SequenceSet, set_of

EVERYTHING = SequenceSet(((1, STAR),))


@command(Search, State.SELECTED, tells_expunges=lambda verb: verb.uid)
async def search(session: Session, verb: Search) -> Reply:
    """RFC 9051 section 6.4.4."""
    selected = session.selected
    assert selected is not None
    everything = selected.find(EVERYTHING, uid=False)
    found = await Searching(selected, session.context.clock).find(verb.key, everything)
    by_modseq = _asks_modseq(verb.key)
    if by_modseq:
        session.enabled |= {"CONDSTORE"}
    numbers = uids_of(found) if verb.uid else [seq for seq, _, _ in found]
    modseq = highest(found) if by_modseq else None
    if verb.returns is None:
        session.write(responses.search(numbers, modseq))
        return Reply("Searched")
    if "SAVE" in verb.returns:
        selected.saved = tuple(uids_of(_chosen(verb.returns, found)))
    if set(verb.returns) != {"SAVE"}:
        chosen = _chosen(verb.returns, found) if by_modseq else ()
        results = _results(verb.returns, numbers, chosen)
        session.write(responses.esearch(session.tag, uid=verb.uid, results=results))
    return Reply("Searched")


def _chosen(returns: Sequence[str], found: Sequence[Found]) -> Sequence[Found]:
    """With MIN or MAX alone only those count (RFC 5182 section 2.1, RFC 7162 section 3.1.6)."""
    if not found or {"ALL", "COUNT"} & set(returns) or not {"MIN", "MAX"} & set(returns):
        return found
    ends = {"MIN": found[0], "MAX": found[-1]}
    return list({one[0]: one for end, one in ends.items() if end in returns}.values())


def _results(returns: Sequence[str], numbers: Sequence[int], found: Sequence[Found]) -> list[tuple[str, bytes]]:
    results: list[tuple[str, bytes]] = []
    if numbers:
        if "MIN" in returns:
            results.append(("MIN", b"%d" % min(numbers)))
        if "MAX" in returns:
            results.append(("MAX", b"%d" % max(numbers)))
        if "ALL" in returns:
            results.append(("ALL", set_of(numbers).render()))
    if "COUNT" in returns:
        results.append(("COUNT", b"%d" % len(numbers)))
    if (modseq := highest(found)) is not None:
        results.append(("MODSEQ", b"%d" % modseq))  # RFC 7162 section 3.1.6
    return results


def _asks_modseq(key: keys.Key) -> bool:
    match key:
        case keys.Modseq():
            return True
        case keys.And() | keys.Or():
            return any(map(_asks_modseq, key.keys))
        case keys.Not():
            return _asks_modseq(key.key)
    return False
