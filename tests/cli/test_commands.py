"""The command line as an operator meets it: what each command prints, and what it says when something is wrong."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from merpati.cli.app import app
from tests.servers import free_port

PASSWORD = "correct-horse-7\n"
NO_MESSAGE = "01900000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Runs `merpati` in a folder that holds the settings of an installation."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.settings("")

    def settings(self, more: str) -> None:
        (self.folder / "merpati.toml").write_text(f'hostname = "mx.here.test"\n{more}')

    def copied(self, folder: pathlib.Path) -> "Shell":
        """The same installation once more: hashing passwords and importing mail take longer than most tests."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Shell(folder)

    def run(self, line: str, given: str = "", **environment: str) -> Done:
        """In this process: starting Python and importing everything would take longer than most commands."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name in [name for name in os.environ if name.startswith("MERPATI_")]:
                patch.delenv(name)
            done = CliRunner().invoke(app, line.split(), input=given, env=environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def run_alone(self, line: str, **environment: str) -> Done:
        """In a process of its own, as it is installed."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MERPATI_")}
        done = subprocess.run(
            [sys.executable, "-m", "merpati", *line.split()],
            capture_output=True, text=True, timeout=150, cwd=self.folder, env={**clean, **environment},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, line: str, given: str = "", **environment: str) -> str:
        """Its standard output; status 0 and nothing on standard error."""
        done = self.run(line, given, **environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def json(self, line: str, given: str = "") -> object:
        return json.loads(self.good(f"{line} --json", given))

    def bad(self, line: str, given: str = "", **environment: str) -> str:
        """What it says on standard error: status 1, words and no traceback."""
        done = self.run(line, given, **environment)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stdout == ""
        assert done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def shell(tmp_path: pathlib.Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """here.test with Alice and an alias; tests read it or are told no."""
    made = Shell(tmp_path_factory.mktemp("peopled"))
    made.good("domain add here.test")
    made.good("account add alice@here.test", PASSWORD)
    made.good("alias add team@here.test alice@here.test far@elsewhere.test")
    return made


def test_a_domain_is_added_listed_shown_and_removed(shell: Shell) -> None:
    assert shell.good("domain add Here.test") == "added here.test\n"
    added = shell.json("domain add any.test --catch-all carol@here.test")
    assert (added["name"], added["catch_all"]) == ("any.test", "carol@here.test")
    assert [entry["name"] for entry in shell.json("domain list")] == ["any.test", "here.test"]
    assert "carol@here.test" in shell.good("domain list")
    shown = shell.json("domain show here.test")
    assert (shown["domain"]["name"], shown["accounts"], shown["aliases"]) == ("here.test", [], [])
    assert shell.good("domain remove any.test") == "removed any.test\n"
    assert [entry["name"] for entry in shell.json("domain list")] == ["here.test"]


def test_an_account_is_added_listed_shown_and_removed(shell: Shell) -> None:
    shell.good("domain add here.test")
    assert shell.good("account add bob@here.test", PASSWORD) == "added bob@here.test\n"
    listed = shell.json("account list here.test")
    assert [(entry["address"], entry["enabled"]) for entry in listed] == [("bob@here.test", True)]
    assert shell.json("account show bob@here.test") == listed[0]
    assert "address: bob@here.test" in shell.good("account show bob@here.test")
    assert shell.good("account disable bob@here.test") == "disabled bob@here.test\n"
    assert shell.json("account show bob@here.test")["enabled"] is False
    assert shell.good("account password bob@here.test", "another-horse-8\n") == "changed bob@here.test\n"
    assert shell.good("account remove bob@here.test") == "removed bob@here.test\n"
    assert shell.json("account list") == []


def test_an_alias_is_added_listed_shown_and_removed(shell: Shell) -> None:
    shell.good("domain add here.test")
    assert shell.good("alias add team@here.test bob@here.test far@elsewhere.test") == "added team@here.test\n"
    assert shell.json("alias list here.test")[0]["targets"] == ["bob@here.test", "far@elsewhere.test"]
    assert "bob@here.test, far@elsewhere.test" in shell.good("alias list")
    assert shell.good("alias show team@here.test") == "team@here.test → bob@here.test, far@elsewhere.test\n"
    assert shell.json("alias show team@here.test")["address"] == "team@here.test"
    assert shell.good("alias remove team@here.test") == "removed team@here.test\n"
    assert shell.json("alias list") == []


def test_no_command_shows_a_password_or_its_hash(peopled: Shell) -> None:
    for line in ("account list", "account show alice@here.test", "domain show here.test"):
        for said in (peopled.good(line), peopled.good(f"{line} --json")):
            assert PASSWORD.strip() not in said
            assert "argon2" not in said


REFUSED = [
    pytest.param("domain add here.test", "", "here.test", id="a domain that is there"),
    pytest.param("domain add no_domain!", "", "bad domain name", id="a domain that is none"),
    pytest.param("domain show gone.test", "", "gone.test", id="a domain that is not there"),
    pytest.param("domain remove gone.test", "", "gone.test", id="removing a domain that is not there"),
    pytest.param("domain remove here.test", "", "here.test", id="removing a domain with accounts"),
    pytest.param("account add alice@here.test", PASSWORD, "alice@here.test", id="an account that is there"),
    pytest.param("account add bob@gone.test", PASSWORD, "gone.test", id="an account in no domain"),
    pytest.param("account add bob", PASSWORD, "bob", id="an account without a domain"),
    pytest.param("account add bob@here.test", "short\n", "8 characters", id="a short password"),
    pytest.param("account add bob@here.test", "", "8 characters", id="no password"),
    pytest.param("account show bob@here.test", "", "bob@here.test", id="an account that is not there"),
    pytest.param("account remove bob@here.test", "", "bob@here.test", id="removing an account that is not there"),
    pytest.param("account disable bob@here.test", "", "bob@here.test", id="disabling an account that is not there"),
    pytest.param("alias add team@here.test bob@here.test", "", "team@here.test", id="an alias that is there"),
    pytest.param("alias add alice@here.test bob@here.test", "", "alice@here.test", id="an alias with a user's name"),
    pytest.param("alias show gone@here.test", "", "gone@here.test", id="an alias that is not there"),
    pytest.param("alias remove gone@here.test", "", "gone@here.test", id="removing an alias that is not there"),
    pytest.param("trace what", "", "what is not a message id", id="a trace of no id"),
    pytest.param("trace --since yesterday", "", "yesterday", id="a trace since no time"),
    pytest.param("check --config gone.toml", "", "no settings file gone.toml", id="settings that are not there"),
]


@pytest.mark.parametrize(("line", "given", "word"), REFUSED)
def test_the_operator_is_told_in_words(peopled: Shell, line: str, given: str, word: str) -> None:
    assert word in peopled.bad(line, given)


WRONG_SETTINGS = [
    pytest.param("[ingest]\nmax_sise = 1\n", "did you mean `ingest.max_size`?", id="an unknown key"),
    pytest.param("[inngest]\n", "did you mean `ingest`?", id="an unknown section"),
    pytest.param("[ingest]\nmax_size = 'big'\n", "`ingest.max_size`", id="a wrong type"),
    pytest.param("[access]\nimap = 'here'\n", '"address:port"', id="no listener"),
    pytest.param("[delivery]\ntls = 'perhaps'\n", "delivery.tls", id="an unknown word"),
    pytest.param("hostname = \n", "merpati.toml", id="no TOML"),
    pytest.param("[[processors]]\nuse = 'gone'\n", "gone", id="an unknown processor"),
]


@pytest.mark.parametrize(("text", "word"), WRONG_SETTINGS)
def test_serve_does_not_start_on_wrong_settings(shell: Shell, text: str, word: str) -> None:
    shell.settings(text)
    done = shell.run("serve", MERPATI_HTTP__LISTEN="")
    assert done.returncode == 1
    assert word in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_environment_goes_before_the_file_and_is_checked_as_well(shell: Shell) -> None:
    assert "`ingest.max_sise`" in shell.bad("check", MERPATI_INGEST__MAX_SISE="1")
    assert "`inngest`" in shell.bad("check", MERPATI_INNGEST__MAX_SIZE="1")


def test_check_finds_nothing_wrong_with_the_defaults(shell: Shell) -> None:
    found = shell.json("check")
    assert [entry["name"] for entry in found] == ["bus", "store", "directory", "tls", "dns", "processors"]
    assert all(entry["good"] for entry in found)
    assert len(re.findall(r"^ok +\w+ ", shell.good("check"), re.MULTILINE)) == 6


WRONG_PARTS = [
    pytest.param("bus", {"MERPATI_BUS__URL": "kafka://127.0.0.1:{closed}"}, "127.0.0.1:{closed}", id="no broker"),
    pytest.param("bus", {"MERPATI_BUS__URL": "rabbit://127.0.0.1"}, "rabbit", id="no such bus"),
    pytest.param("store", {"MERPATI_STORE__URL": "s3://b?endpoint=http://127.0.0.1:{closed}"}, "", id="no store"),
]


@pytest.mark.parametrize(("part", "environment", "word"), WRONG_PARTS)
def test_check_says_what_is_wrong(shell: Shell, part: str, environment: dict[str, str], word: str) -> None:
    closed = str(free_port())
    given = {name: value.format(closed=closed) for name, value in environment.items()}
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    done = shell.run("check --json", **given, **keys)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if done.stdout:
        wrong = {entry["name"]: entry["detail"] for entry in json.loads(done.stdout) if not entry["good"]}
        assert word.format(closed=closed) in wrong[part]
    else:
        assert word.format(closed=closed) in done.stderr


def test_a_trace_of_an_unknown_message_ends_with_status_1(peopled: Shell) -> None:
    done = peopled.run(f"trace {NO_MESSAGE}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_serve_says_which_port_is_taken(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listeners = {f"MERPATI_INGEST__{door}": f"127.0.0.1:{free_port()}" for door in ("SUBMISSION", "SUBMISSIONS")}
        done = shell.run_alone(
            "serve --roles ingest",
            MERPATI_HTTP__LISTEN=f"127.0.0.1:{free_port()}",
            MERPATI_INGEST__MX=f"127.0.0.1:{port}",
            **listeners,
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_serve_knows_its_roles(shell: Shell) -> None:
    done = shell.run("serve --roles ingest,postman")
    assert done.returncode == 2
    assert "roles are ingest, processors, delivery, access" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_shows_the_whole_way(shell: Shell) -> None:
    done = shell.run_alone("demo --once")
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    assert "Traceback" not in done.stdout + done.stderr
    for word in ("sender.test", "receiver.test", "accepted", "routed", "relayed", "stored"):
        assert word in done.stdout
