"""A site for the tests of the pipeline: directory, store and bus in memory, and ways to hand a message in."""

from collections.abc import Sequence

from merpati.bus.api import Consumed, Record
from merpati.bus.memory import MemoryBus
from merpati.clock import Clock, ManualClock
from merpati.directory.log_directory import LogDirectory
from merpati.events import Body, Client, Envelope, Event, Received, Recipient, decode, encode, retry_topic, topic_specs
from merpati.ids import SeededDice, derived_event_id, digest_of, new_message_id
from merpati.objects.memory import MemoryStore
from merpati.plugins.processor import Processor, Tools
from merpati.plugins.testing import FakeDns, FakeLog
from merpati.settings import ProcessorSettings
from merpati.telemetry import Metrics
from processors.handler import Handler
from processors.inline import Inline
from processors.row import Configured, Row
from processors.running import read_policy
from processors.working import TIER, Working
from tests.directory.shared_logs import Bucket

HOST = "mx.site.test"
USER = Client(ip="192.0.2.9", user="bob@site.test")
STRANGER = Client(ip="198.51.100.7", helo="else.where")
RAW = b"From: a@else.where\r\nSubject: hello\r\n\r\nHello\r\n"


class Site:
    """site.test with bob, eve, lists and forwards, and nothing else."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.dice = SeededDice(1)
        self.bucket = Bucket()
        self.directory = LogDirectory(self.bucket.open, self.clock, self.dice, Metrics())
        self.store = MemoryStore(self.clock)
        self.metrics = Metrics()
        self.bus = MemoryBus(self.clock, self.dice)

    async def open(self) -> "Site":
        await self.bus.start()
        await self.bus.ensure_topics(topic_specs(4, (TIER,)))
        await self.directory.add_domain("site.test")
        await self.directory.add_domain("second.test", catch_all="bob@site.test")
        for name in ("bob", "eve"):
            await self.directory.add_account(f"{name}@site.test", "", quota=1000)
        await self.directory.add_alias("both@site.test", ("bob@site.test", "eve@site.test"))
        await self.directory.add_alias("away@site.test", ("bob@else.where",))
        await self.directory.add_alias("copy@site.test", ("bob@site.test", "bob@else.where"))
        return self

    async def account(self, name: str) -> str:
        found = await self.directory.account(f"{name}@site.test")
        assert found is not None
        return found.id

    def row(self, *processors: Processor | tuple[Processor, dict]) -> Row:
        """Processors inline, in order; with a dict, settings of theirs."""
        built = []
        for number, each in enumerate(processors):
            processor, settings = each if isinstance(each, tuple) else (each, {})
            entry = ProcessorSettings(use="x:X", **{"name": f"p{number}", **settings})
            policy = read_policy(entry, "inline")
            built.append(Configured(policy, Inline(processor, policy.timeout)))
        self.steps: list[tuple[str, str]] = []
        return Row(built, self.clock, lambda name, outcome, _: self.steps.append((name, outcome)))

    def handler(self, *processors: Processor | tuple[Processor, dict]) -> Handler:
        return Handler(self.row(*processors), self.directory, self.clock, HOST)

    def working(self, *processors: Processor | tuple[Processor, dict]) -> Working:
        return Working(self.handler(*processors), self.store, self.clock, HOST, self.metrics)

    def tools(self) -> Tools:
        return Tools(FakeDns(), self.clock, FakeLog(), HOST)

    def received(
        self,
        *recipients: str | Recipient,
        raw: bytes = RAW,
        sender: str = "a@else.where",
        client: Client = STRANGER,
        door: str = "",
        **more: object,
    ) -> Received:
        message = new_message_id(self.clock, self.dice)
        people = tuple(Recipient(r) if isinstance(r, str) else r for r in recipients or ("bob@site.test",))
        envelope = Envelope(sender, people, client, door or ("submission" if client.user else "mx"))
        return Received(
            id=derived_event_id(message, "received"),
            message=message,
            at=self.clock.time(),
            envelope=envelope,
            body=Body(len(raw), digest_of(raw)),
            prefix="Received: from else.where\r\n\tby mx.site.test\r\n",
            **more,  # type: ignore[arg-type]
        )

    def consumed(self, event: Event | Record, value: bytes = RAW, offset: int = 0) -> Consumed:
        record = event if isinstance(event, Record) else encode(event, value)
        return Consumed(record.topic, 0, offset, self.clock.time(), record.key, record.value, record.headers)

    async def published(self, topic: str) -> list[Consumed]:
        return [record async for record in self.bus.scan(topic)]


class Says(Processor):
    """Answers what it was made with, or raises it."""

    def __init__(self, answer: object) -> None:
        super().__init__(Tools(FakeDns(), ManualClock(), FakeLog()))
        self.answer = answer
        self.seen: list[tuple[str, ...]] = []

    async def process(self, mail):  # type: ignore[no-untyped-def]
        self.seen.append(mail.envelope.recipients)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer(mail) if callable(self.answer) else self.answer


def events_of(records: Sequence[Record]) -> list[Event]:
    return [decode(record) for record in records]


RETRY = retry_topic(TIER[0])
