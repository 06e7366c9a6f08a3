"""The installations that the live tests share: one on each engine, started once a run.

Read by pytest.  Whoever kills, stops or reconfigures starts an installation of his own.
"""

import asyncio
import contextlib
import pathlib
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from merpati.auth.issuer import DemoIssuer
from merpati.clock import SystemClock
from merpati.ids import SystemDice
from tests.live.doors import dirty_lines
from tests.servers import S3_ENVIRONMENT
from tests.servers.merpati_installation import ROLES, Installation, merpati

USERS = ("alice", "bob", "carol", "dave")

# All tests of one engine on one worker: a second worker would start the whole installation again.  The first of them
# waits until broker, store and every process are up, on a machine that may be busy with other tests.
ENGINES = [
    pytest.param(name, marks=[pytest.mark.xdist_group(f"live-{name}"), pytest.mark.timeout(300)])
    for name in ("embedded", "scaled")
]

Start = Callable[..., contextlib.AbstractContextManager[Installation]]


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """`embedded`: SQLite, files and one process; `scaled`: Kafka, MinIO and a process for each role."""
    return str(request.param)


@pytest.fixture(scope="session")
def start(engine: str, request: pytest.FixtureRequest) -> Start:
    """Starts an installation on the engine; takes the words of `merpati(folder, …)`."""
    words: dict[str, object] = {}
    if engine == "scaled":
        words["bus"] = request.getfixturevalue("kafka_url")
        words["groups"] = [[role] for role in ROLES]
        new_s3_url = request.getfixturevalue("new_s3_url")

    def begin(folder: pathlib.Path, **more: object) -> contextlib.AbstractContextManager[Installation]:
        if engine == "scaled":
            more = {"prefix": f"t{uuid.uuid4().hex[:11]}-", "store": new_s3_url(), **words, **more}
            more["environment"] = {**S3_ENVIRONMENT, **more.get("environment", {})}
        return merpati(folder, **more)

    return begin


@pytest.fixture(scope="session")
def issuer() -> Iterator[DemoIssuer]:
    """An OAuth issuer on loopback, in a thread of its own."""
    made = DemoIssuer(SystemClock(), SystemDice())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="issuer")
    thread.start()
    asyncio.run_coroutine_threadsafe(made.start(), loop).result(30)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def house(start: Start, issuer: DemoIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation that the tests of an engine share: here.test, with USERS, an alias and a catch-all domain."""
    trusted = {"issuer": issuer.url, "jwks_url": f"{issuer.url}/jwks", "audience": "merpati", "scope": "mail"}
    with start(tmp_path_factory.mktemp("house"), users=USERS, sections={"auth.oauth": [trusted]}) as running:
        running.command("alias", "add", "team@here.test", "alice@here.test", "bob@here.test")
        running.command("domain", "add", "any.test", "--catch-all", "carol@here.test")
        yield running
    assert dirty_lines(running) == []
