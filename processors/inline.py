"""A processor in the event loop of the service: for our own, which neither hang nor exit.

Cheap, and no shelter from a loop that never yields: whatever is not ours goes through `isolated`.
"""

from __future__ import annotations

import asyncio

from merpati.errors import MerpatiError
from merpati.plugins.actions import AnyAction, BadAnswer, read_answer
from merpati.plugins.mail import Mail
from merpati.plugins.processor import Processor, ask
from processors.running import ProcessorFailed

LARGE = 256 * 1024
"""Bytes from which on a message is taken apart in a thread before an inline processor sees it."""


class Inline:
    """`Runnable` in this process."""

    def __init__(self, processor: Processor, timeout: float) -> None:
        self._processor = processor
        self._timeout = timeout

    @property
    def wants_body(self) -> bool:
        return self._processor.wants_body

    async def start(self) -> None:
        await self._processor.start()

    async def stop(self) -> None:
        await self._processor.stop()

    async def answer(self, mail: Mail) -> tuple[AnyAction, ...]:
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                if self.wants_body and mail.size > LARGE:
                    await asyncio.to_thread(mail.read_ahead)
                return read_answer(await ask(self._processor, mail))
        except TimeoutError as error:
            if deadline.expired():
                raise ProcessorFailed(f"took longer than {self._timeout:g} s") from None
            raise ProcessorFailed(f"raised {describe(error)}") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ProcessorFailed("raised CancelledError") from None
        except BadAnswer as error:
            raise ProcessorFailed(f"answered with junk: {error}") from error
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise ProcessorFailed(f"raised {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An exception in one line for operators, without the words of the mail it may repeat at length."""
    text = str(error) if isinstance(error, MerpatiError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
