"""docs/rfcs.tsv and the code say the same: what is cited is listed, and what is listed as done is cited."""

import csv
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.servers.installed import ROOT
from tests.shape.tree import PACKAGES, nothing, python_files, text

TABLE = ROOT / "docs" / "rfcs.tsv"
HEADER = ["rfc", "status", "where", "note"]
STATUSES = ("yes", "partial", "no")
CITATION = re.compile(r"\bRFC[ \u00a0]?(\d{3,5})\b")

Row = dict[str, str]


def rows() -> list[Row]:
    with TABLE.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def cited() -> set[int]:
    sources = (text(path) for path in python_files() if path.split("/")[0] in PACKAGES)
    return {int(number) for source in sources for number in CITATION.findall(source)}


def malformed(table: Iterable[Row]) -> Iterator[str]:
    seen: set[str] = set()
    for row in table:
        if list(row) != HEADER or None in row.values():
            yield f"{row}: the columns are {', '.join(HEADER)}"
            continue
        if not row["rfc"].isdigit() or row["rfc"] in seen:
            yield f"{row['rfc']}: one row an RFC, its number alone"
        if row["status"] not in STATUSES:
            yield f"{row['rfc']}: {row['status']!r} is none of {', '.join(STATUSES)}"
        if row["status"] == "partial" and not row["note"]:
            yield f"{row['rfc']}: partial, and no note says how far"
        seen.add(row["rfc"])


def differences(table: Iterable[Row], citations: set[int]) -> Iterator[str]:
    status = {int(row["rfc"]): row["status"] for row in table}
    for number in sorted(citations - status.keys()):
        yield f"RFC {number} is cited and not in the table"
    for number in sorted(status.keys() - citations):
        if status[number] != "no":
            yield f"RFC {number} is {status[number]} in the table and cited nowhere"


def test_the_table_is_well_formed() -> None:
    nothing(malformed(rows()))


def test_what_is_cited_is_listed_and_what_is_done_is_cited() -> None:
    nothing(differences(rows(), cited()))


def row(rfc: str, status: str, note: str = "") -> Row:
    return {"rfc": rfc, "status": status, "where": "", "note": note}


DIFFERENT = [
    ([], {5321}, "is cited and not in the table"),
    ([row("5321", "yes")], set(), "is yes in the table and cited nowhere"),
    ([row("5321", "partial", "half")], set(), "is partial in the table and cited nowhere"),
]


@pytest.mark.parametrize(("table", "citations", "reason"), DIFFERENT)
def test_a_difference_is_named(table: list[Row], citations: set[int], reason: str) -> None:
    assert [words for words in differences(table, citations) if reason in words]


@pytest.mark.parametrize("status", STATUSES)
def test_a_cited_row_may_have_any_status(status: str) -> None:
    assert list(differences([row("5321", status)], {5321})) == []


def test_an_rfc_that_is_not_done_need_not_be_cited() -> None:
    assert list(differences([row("5321", "no")], set())) == []


@pytest.mark.parametrize(
    "bad",
    [
        [row("RFC 5321", "yes")],
        [row("5321", "maybe")],
        [row("5321", "partial")],
        [row("5321", "yes"), row("5321", "no")],
        [{"rfc": "5321", "status": "yes"}],
    ],
)
def test_a_malformed_table_is_named(bad: list[Row]) -> None:
    assert list(malformed(bad))
