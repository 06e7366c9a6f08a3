"""What changes the directory and what it refuses; and that the ways of writing a state down lose nothing of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.directory import removing
from merpati.directory import state as deciding
from merpati.directory.api import AccountEntry, AliasEntry, DomainEntry
from merpati.directory.fold import CHUNK, DirectoryFold
from merpati.directory.state import AccountSet, Decider, DirectoryState, apply
from merpati.directory.table import SMALL, Table
from merpati.errors import Permanent
from merpati.ids import AccountId, Digest, digest_of
from merpati.log.api import Commit, Part

SALES = AliasEntry("s@a.test", ("x@y.z",))
BOB = AccountEntry(AccountId("b"), "Bob@a.test", "$argon2id$1")


def after(*deciders: Decider) -> DirectoryState:
    state = DirectoryState()
    for decide in deciders:
        for change in decide(state):
            state = apply(state, change)
    return state


@pytest.mark.parametrize(
    ("before", "decide", "words"),
    [
        ([deciding.add_domain(DomainEntry("a.test"))], deciding.add_domain(DomainEntry("a.test")), "there already"),
        ([], deciding.remove_domain("a.test"), "no domain a.test"),
        ([deciding.add_account(BOB)], deciding.add_account(AccountEntry(AccountId("c"), "BOB@a.test")), "account"),
        ([deciding.add_account(BOB)], deciding.add_alias(AliasEntry("bob@A.test", ("x@y.z",))), "account"),
        ([deciding.add_alias(SALES)], deciding.add_alias(AliasEntry("S@a.test", ("q@y.z",))), "alias"),
        ([deciding.add_alias(AliasEntry("bob@a.test", ("x@y.z",)))], deciding.add_account(BOB), "alias"),
        ([], deciding.add_alias(AliasEntry("s@a.test", ())), "target"),
        ([], removing.remove_account("bob@a.test"), "no account"),
        ([], deciding.change_account("bob@a.test", enabled=False), "no account"),
        ([], deciding.remove_alias("s@a.test"), "no alias"),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused_in_words(before: list[Decider], decide: Decider, words: str) -> None:
    with pytest.raises(Permanent, match=words):
        decide(after(*before))


@pytest.mark.parametrize(
    ("change", "rises"),
    [
        ({"password_hash": "$argon2id$2"}, True),
        ({"enabled": False}, True),
        ({"quota": 5}, False),
        ({"password_hash": "$argon2id$1"}, False),
        ({}, False),
    ],
)
def test_the_version_rises_when_a_remembered_login_must_be_forgotten(change: dict, rises: bool) -> None:
    state = after(deciding.add_account(BOB), deciding.change_account("BOB@a.test", **change))
    assert (deciding.account_of(state, "bob@a.test").version > 1) is rises


def test_a_removed_account_comes_back_as_another() -> None:
    again = AccountEntry(AccountId("new"), "bob@a.test")
    state = after(deciding.add_account(BOB), removing.remove_account("bob@a.test"), deciding.add_account(again))
    assert deciding.account_of(state, "Bob@a.test") == again


class MemoryChunks:
    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}

    async def get(self, digest: Digest) -> bytes:
        return self.kept[digest]

    async def put(self, data: bytes) -> Digest:
        self.kept[digest_of(data)] = data
        return digest_of(data)


def many(n: int) -> DirectoryState:
    state = after(
        deciding.add_domain(DomainEntry("a.test", "x@a.test")), deciding.add_alias(AliasEntry("s@a.test", ("t@b.c",)))
    )
    for i in range(n):
        state = apply(state, AccountSet(AccountEntry(AccountId(str(i)), f"User{i}@a.test", quota=i)))
    return state


@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
async def test_a_snapshot_gives_the_state_again_in_its_order(n: int) -> None:
    fold, chunks, state = DirectoryFold(), MemoryChunks(), many(n)
    again = await fold.load(await fold.dump(state, chunks), chunks)
    assert (list(again.accounts.items()), again.aliases, again.domains) == (
        list(state.accounts.items()),
        state.aliases,
        state.domains,
    )


async def test_a_snapshot_after_one_more_account_writes_one_new_chunk() -> None:
    fold, chunks = DirectoryFold(), MemoryChunks()
    await fold.dump(many(3 * CHUNK + 5), chunks)
    before = len(chunks.kept)
    await fold.dump(many(3 * CHUNK + 6), chunks)
    assert len(chunks.kept) == before + 1


@pytest.mark.parametrize("data", [b"", b"{", b'[{"kind":"tomorrow"}]', b'[{"kind":"account"}]', b"\xff"])
def test_changes_that_nobody_knows_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        DirectoryFold().decode(data)


async def test_a_snapshot_that_nobody_knows_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        await DirectoryFold().load(b"junk", MemoryChunks())


def test_a_commit_applied_leaves_the_state_before_it_as_it_was() -> None:
    fold, state = DirectoryFold(), many(3)
    commit = Commit(5, b"", b"", 0.0, (Part(tuple(removing.remove_account("user1@a.test")(state))),))
    later = fold.apply(state, commit)
    assert (len(state.accounts), len(later.accounts)) == (3, 2)


@given(st.lists(st.tuples(st.integers(0, 3 * SMALL), st.booleans()), max_size=1000))
def test_a_table_is_a_dictionary_that_is_never_changed(steps: list[tuple[int, bool]]) -> None:
    table: Table[int] = Table()
    plain: dict[str, int] = {}
    seen: list[tuple[Table[int], dict[str, int]]] = []
    for value, removes in steps:
        key = f"k{value}"
        if removes:
            table = table.remove(key)
            plain.pop(key, None)
        else:
            table = table.set(key, value)
            plain[key] = value
        assert len(table) == len(plain)
        if len(seen) < 20:
            seen.append((table, dict(plain)))
    for made, expected in (*seen, (table, plain)):
        assert list(made.items()) == list(expected.items())
        assert all(key in made and made[key] == expected[key] for key in expected)
        assert "other" not in made
