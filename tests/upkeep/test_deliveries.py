"""Mail that was on its way to an account when its log ended: it goes back to its sender, and nothing loops."""

from __future__ import annotations

from merpati.events import Happened, Received, What
from merpati.mailbox.api import NoSuchAccount
from merpati.upkeep.ending import Ending
from tests.delivery.test_local import CLOCK, stage


async def test_mail_for_an_account_that_is_gone_is_returned_and_its_neighbours_is_delivered() -> None:
    async with stage() as here:
        await here.post()
        await here.happened(What.STORED, 1)
        await Ending(here.mailboxes.account(here.bob), CLOCK).close()
        await here.post(times=1)
        await here.post(times=1)
        bounced = await here.happened(What.BOUNCED, 2)
        assert {tuple(one.recipients) for one in bounced} == {("bob@here.test",)}
        returned = await here.all_of(Received)
        assert len(returned) == 2 and all(event.envelope.sender == "" for event in returned)
        assert [one.what for one in await here.all_of(Happened)].count(What.PARKED) == 0
        keys = [info.key async for info in here.store.list(f"accounts/{here.bob}/log/")]
        assert len(keys) == 2


async def test_what_a_sender_is_told_names_the_address_and_no_secret() -> None:
    failure = NoSuchAccount("there is no such account any more")
    assert failure.reply == "550 5.1.1 there is no such account any more"
