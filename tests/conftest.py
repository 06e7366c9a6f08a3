"""What every test may ask for: the shared real servers, fresh buckets, unique names; and what a missing part means.

Read by pytest. Starts nothing by itself: a server starts when the first test asks for it.
"""

import os
import uuid
from collections.abc import Callable, Generator, Iterator
from typing import NoReturn

import hypothesis
import pytest

from tests.servers import S3_ENVIRONMENT, Missing, new_bucket, shared, tool

IN_CI = bool(os.environ.get("CI"))
# A test that uses one of these is live, whether it says so or not.
LIVE_FIXTURES = {"kafka_url", "minio_endpoint", "new_s3_url", "s3_url", "seaweed_endpoint", "seaweed_url"}

# The machine is shared with servers: an example may take long, and that says nothing about the code.
hypothesis.settings.register_profile(
    "merpati", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("merpati")


def pytest_configure(config: pytest.Config) -> None:
    # kafka-python reads its schemas in a way that Python 3.11 alone grumbles about, 200 times.
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    if not hasattr(config, "workerinput") and shared.begin():
        config.add_cleanup(shared.end)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "live" in item.path.parts or LIVE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("live")
        # The services run on uvloop; that the same holds on asyncio's own loop is seen by `make test`.
        if "asyncio" in getattr(getattr(item, "callspec", None), "id", "").split("-"):
            item.add_marker("asyncio_loop")
        # One worker runs the heavy ones, so that two of them never compete for the machine's two cores.
        if item.get_closest_marker("slow") and item.get_closest_marker("live"):
            item.add_marker(pytest.mark.xdist_group("heavy"))


def _absent(reason: str) -> NoReturn:
    if IN_CI:
        pytest.fail(f"in CI nothing is skipped: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    try:
        return (yield)
    except Missing as missing:
        reason = str(missing)
    _absent(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except Missing as missing:
        reason = str(missing)
    _absent(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"in CI nothing is skipped: {report.longreprtext}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = len(terminalreporter.stats.get("skipped", ()))
    if skipped:
        terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"{skipped} tests were skipped; the reasons stand above, and make servers may help.")


@pytest.fixture
def unique() -> str:
    """A name that no other test uses: for topics' prefixes, groups, accounts; a letter and 11 hex digits."""
    return f"t{uuid.uuid4().hex[:11]}"


@pytest.fixture(scope="session")
def kafka_url() -> str:
    """`kafka://127.0.0.1:port`: the broker that all tests share, or the one that MERPATI_TEST_KAFKA names."""
    named = os.environ.get("MERPATI_TEST_KAFKA")
    if named:
        return named if named.startswith("kafka://") else f"kafka://{named}"
    return shared.where("kafka")


def _endpoint_in(named: str) -> str:
    return named.partition("endpoint=")[2].partition("&")[0] if named.startswith("s3://") else named


@pytest.fixture(scope="session")
def minio_endpoint(s3_keys: None) -> str:
    """`http://127.0.0.1:port` of the shared MinIO, or the store that MERPATI_TEST_S3 names (endpoint or s3 URL)."""
    named = os.environ.get("MERPATI_TEST_S3")
    return _endpoint_in(named) if named else shared.where("minio")


@pytest.fixture(scope="session")
def seaweed_endpoint(s3_keys: None) -> str:
    return shared.where("seaweedfs")


@pytest.fixture(scope="session")
def s3_keys() -> Iterator[None]:
    """AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment; with MERPATI_TEST_S3 they are the caller's."""
    with pytest.MonkeyPatch.context() as patch:
        if "MERPATI_TEST_S3" not in os.environ:
            for name, value in S3_ENVIRONMENT.items():
                patch.setenv(name, value)
        yield


def _fresh_bucket(endpoint: str) -> str:
    keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    return new_bucket(endpoint, access_key=keys[0], secret_key=keys[1])


@pytest.fixture(scope="session")
def new_s3_url(minio_endpoint: str) -> Callable[[], str]:
    """Gives the URL of a fresh bucket at each call, for fixtures of a wider scope."""
    return lambda: _fresh_bucket(minio_endpoint)


@pytest.fixture
def s3_url(minio_endpoint: str) -> str:
    """`s3://bucket?endpoint=http://127.0.0.1:port` with a bucket of this test's own, on MinIO."""
    return _fresh_bucket(minio_endpoint)


@pytest.fixture
def seaweed_url(seaweed_endpoint: str) -> str:
    """The same on SeaweedFS."""
    return new_bucket(seaweed_endpoint)


@pytest.fixture
def need_tool() -> Callable[[str], str]:
    """Gives the path of a real client or server program (swaks, mbsync, getmail …); without it the test is not run."""
    return tool
