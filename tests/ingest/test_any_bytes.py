"""Any bytes at all, at any door: no exception is logged, the service goes on, nothing is believed that was not said."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ingest.world import MESSAGE, World, ready

VERBS = [
    b"EHLO client.test\r\n",
    b"HELO x\r\n",
    b"LHLO x\r\n",
    b"MAIL FROM:<a@b.test>\r\n",
    b"MAIL FROM:<> SIZE=3 SMTPUTF8\r\n",
    b"RCPT TO:<ann@here.test>\r\n",
    b"RCPT TO:<u@far.test>\r\n",
    b"DATA\r\n",
    b"DATA\r\nx\r\n.\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"BDAT 5\r\nhello",
    b"BDAT 5 LAST\r\nhel\r\n",
    b"BDAT 10\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN YQ==\r\n",
    b"*\r\n",
    b"VRFY <\xff>\r\n",
    b"HELP\r\n",
    b"EXPN\r\n",
    b"QUIT\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"x" * 3000,
    b"<" * 600 + b"\r\n",
    b"MAIL FROM:" + b'<"' * 200 + b"\r\n",
]
streams = st.lists(st.one_of(st.sampled_from(VERBS), st.binary(max_size=30)), max_size=25)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    words=streams,
    door=st.sampled_from(["mx", "submission", "submissions", "lmtp"]),
    how=st.sampled_from(["half-close", "abort", "whole"]),
    patient=st.booleans(),
)
@pytest.mark.slow
async def test_any_stream_of_bytes(shared_world: World, words: list[bytes], door: str, how: str, patient: bool) -> None:
    here = shared_world
    talk = await here.talk(door, greet=False)
    with contextlib.suppress(OSError, RuntimeError):  # of this client: it has been hung up on
        for word in [b"".join(words)] if how == "whole" else words:
            talk.writer.write(word)
            if patient:
                await asyncio.sleep(0.002)
        if how == "abort":
            talk.writer.transport.abort()
        elif talk.writer.can_write_eof():
            talk.writer.write_eof()
        else:
            talk.writer.close()
        await asyncio.wait_for(talk.reader.read(), 10)
    talk.close()


async def test_the_service_goes_on_and_forgets_who_is_gone(shared_world: World) -> None:
    for number in range(30):
        talk = await shared_world.talk("submission" if number % 2 else "mx", greet=False)
        talk.writer.write(b"".join(VERBS[number:] + VERBS[:number]))
        talk.writer.transport.abort()
    assert (await (await ready(shared_world)).hand_in(MESSAGE)).startswith("250")
    await asyncio.sleep(0.2)
    assert len(shared_world.service._crowd) == 1
    assert shared_world.service._crowd.held == 0
