"""How far back a log can be looked at, and what is said of the times before."""

import pytest

from merpati.clock import ManualClock
from merpati.log.reading import GRACE
from merpati.log.travel import OutOfReach, Travel
from merpati.log.vacuum import Vacuum
from merpati.objects.memory import MemoryStore
from tests.mailbox.worlds import ACCOUNT, fresh, mailboxes, messages


async def test_a_time_that_the_log_no_longer_tells_of_is_out_of_reach_and_not_an_empty_mailbox() -> None:
    clock, day = ManualClock(), 86_400.0
    store = MemoryStore(clock)
    account = await mailboxes(store, clock).open(ACCOUNT)
    began = clock.time()
    for number in range(30):
        await account.append(messages(number))
        await clock.advance(day)
        await account.compact()
        await account.reclaim()
        await Vacuum(account.log.reader, grace=GRACE).run()
    travel = Travel(fresh(store, clock).log.reader)
    assert (await travel.commits().__anext__())[0].number > 2
    for time in (began, began + day / 2):
        with pytest.raises(
            OutOfReach, match=r"that time is out of reach: the earliest state left is that of commit \d+, "
        ):
            await travel.number_at(time)
    with pytest.raises(OutOfReach, match=r"commit 3 is out of reach: the earliest state left is that of commit \d+, "):
        await travel.state_at(3)
    assert (await travel.state_at(await travel.number_at(clock.time() - 3 * day))).number > 2
