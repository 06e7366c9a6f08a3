"""Mail that goes back: what `merpati.bounces` makes of the recipients a route returned.

Called by `handler`.  One report for one run; the null sender is never answered (RFC 5321 section 4.5.5).
"""

from __future__ import annotations

from merpati.bounces import Failure, Report, report
from merpati.ids import derived_event_id
from processors.outputs import SERVICE, Outputs, Source
from processors.routing import Returned


def bounce(source: Source, returned: list[Returned], outputs: Outputs, *, moment: float) -> None:
    """Put the report, and what happened, into `outputs`.  `moment` dates the report: the same in every run."""
    if not returned:
        return
    event = source.event
    # A later run for the recipients that were put off must not look like this one
    cause = derived_event_id(event.id, "returned", *(each.recipient.address for each in returned))
    outputs.returned = len(returned)
    outputs.records += report(
        Report.FAILED,
        cause,
        event.message,
        event.envelope,
        [Failure(each.recipient, each.status, each.words) for each in returned],
        source.data,
        service=SERVICE,
        hostname=source.host,
        now=moment,
        arrived=event.at,
    )
