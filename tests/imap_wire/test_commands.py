"""Tables of commands and what they are parsed into."""

from __future__ import annotations

from datetime import date

import pytest

from access.imap.wire import commands as c
from access.imap.wire import fetch, search
from access.imap.wire.commands import AppendMessage, QResync, Verb
from access.imap.wire.fetch import Att, Binary, BinarySize, Section
from access.imap.wire.search import Age, And, Flagged, Header, Messages, Not, Or, Size, Text
from access.imap.wire.sequence import SAVED, STAR, SequenceSet
from tests.imap_wire.talk import verb


def numbers(*ranges: tuple[int, int]) -> SequenceSet:
    return SequenceSet(ranges)


ONE = numbers((1, 1))
EVERY = numbers((1, STAR))

SESSION: list[tuple[bytes, Verb]] = [
    (b"CAPABILITY", c.Capability()),
    (b"noop", c.Noop()),
    (b"LogOut", c.Logout()),
    (b"STARTTLS", c.StartTls()),
    (b"NAMESPACE", c.Namespace()),
    (b"IDLE", c.Idle()),
    (b"CHECK", c.Check()),
    (b"CLOSE", c.Close()),
    (b"UNSELECT", c.Unselect()),
    (b"UNAUTHENTICATE", c.Unauthenticate()),
    (b"NOOP  ", c.Noop()),
    (b"ID NIL", c.Id(None)),
    (b'ID ("name" "mbsync" "version" NIL)', c.Id((("name", "mbsync"), ("version", None)))),
    (b"ID ()", c.Id(())),
    (b'LOGIN alice "se cret"', c.Login("alice", "se cret")),
    (b'LOGIN "a\\"b\\\\c" d', c.Login('a"b\\c', "d")),
    (b"LOGIN {5}\r\nalice {6}\r\ns\xc3\xa4cre", c.Login("alice", "säcre")),
    (b"LOGIN {5+}\r\nalice {0+}\r\n", c.Login("alice", "")),
    (b"AUTHENTICATE PLAIN", c.Authenticate("PLAIN")),
    (b"authenticate plain =", c.Authenticate("PLAIN", b"")),
    (b"AUTHENTICATE XOAUTH2 dXNlcj1h", c.Authenticate("XOAUTH2", b"user=a")),
    (b"AUTHENTICATE SCRAM-SHA-256", c.Authenticate("SCRAM-SHA-256")),
    (b"ENABLE condstore UTF8=ACCEPT X-FOO", c.Enable(("CONDSTORE", "UTF8=ACCEPT", "X-FOO"))),
    (b"COMPRESS DEFLATE", c.Compress("DEFLATE")),
    (b"NOTIFY SET (selected (MessageNew))", c.Unknown("NOTIFY")),
    (b"UID NOOP", c.Unknown("UID NOOP")),
    (b"X-GOOD-THING 1 2", c.Unknown("X-GOOD-THING")),
    (b"FROBNICATE {3+}\r\nabc", c.Unknown("FROBNICATE")),
]

MAILBOXES: list[tuple[bytes, Verb]] = [
    (b"SELECT inbox", c.Select("INBOX")),
    (b'SELECT "InBoX"', c.Select("INBOX")),
    (b"SELECT {5}\r\ninbox", c.Select("INBOX")),
    (b"SELECT inbox/x", c.Select("inbox/x")),
    (b"EXAMINE &AOk-t&AOk-", c.Select("été", read_only=True)),
    (b"SELECT a]b", c.Select("a]b")),
    (b'SELECT "~user/#shared"', c.Select("~user/#shared")),
    (b"SELECT ~user", c.Select("~user")),
    (b"SELECT a&-b", c.Select("a&b")),
    (b"SELECT x (CONDSTORE)", c.Select("x", condstore=True)),
    (b"SELECT x (QRESYNC (7 20))", c.Select("x", qresync=QResync(7, 20))),
    (b"SELECT x (qresync (7 20 41,43:211))", c.Select("x", qresync=QResync(7, 20, numbers((41, 41), (43, 211))))),
    (
        b"SELECT x (CONDSTORE QRESYNC (7 9223372036854775807 1:9 (1,3 5,8)))",
        c.Select(
            "x",
            condstore=True,
            qresync=QResync(7, 2**63 - 1, numbers((1, 9)), (numbers((1, 1), (3, 3)), numbers((5, 5), (8, 8)))),
        ),
    ),
    (b"SELECT x (QRESYNC (7 20 (1 5)))", c.Select("x", qresync=QResync(7, 20, None, (ONE, numbers((5, 5)))))),
    (b"CREATE a/b/", c.Create("a/b/")),
    (b"CREATE Sent (USE (\\Sent \\Drafts))", c.Create("Sent", ("\\Sent", "\\Drafts"))),
    (b"DELETE a", c.Delete("a")),
    (b"RENAME a {3+}\r\nb c", c.Rename("a", "b c")),
    (b"SUBSCRIBE a", c.Subscribe("a")),
    (b"UNSUBSCRIBE a", c.Unsubscribe("a")),
    (b'LIST "" *', c.List("", ("*",))),
    (b'LIST "" "%"', c.List("", ("%",))),
    (b'LIST "" ""', c.List("", ("",))),
    (b"LIST a/ b&AOk-*]", c.List("a/", ("bé*]",))),
    (b'LIST (SUBSCRIBED RECURSIVEMATCH) "" *', c.List("", ("*",), ("SUBSCRIBED", "RECURSIVEMATCH"), extended=True)),
    (b'LIST () "" (inbox "a b%" {1+}\r\nc)', c.List("", ("inbox", "a b%", "c"), extended=True)),
    (
        b'LIST (SPECIAL-USE) "" % RETURN (subscribed CHILDREN STATUS (MESSAGES UNSEEN))',
        c.List(
            "",
            ("%",),
            ("SPECIAL-USE",),
            ("SUBSCRIBED", "CHILDREN", "STATUS"),
            ("MESSAGES", "UNSEEN"),
            extended=True,
        ),
    ),
    (b'LIST "" * RETURN ()', c.List("", ("*",), extended=True)),
    (b'LSUB "" "*"', c.Lsub("", "*")),
    (b"STATUS x (messages)", c.Status("x", ("MESSAGES",))),
    (
        b"STATUS x (RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ APPENDLIMIT DELETED MAILBOXID)",
        c.Status(
            "x",
            (
                *("RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "SIZE"),
                *("HIGHESTMODSEQ", "APPENDLIMIT", "DELETED", "MAILBOXID"),
            ),
        ),
    ),
    (b'GETQUOTA ""', c.GetQuota("")),
    (b"GETQUOTAROOT INBOX", c.GetQuotaRoot("INBOX")),
    (b'SETQUOTA "" (STORAGE 512 MESSAGE 9)', c.SetQuota("", (("STORAGE", 512), ("MESSAGE", 9)))),
    (b'GETMETADATA "" /shared/Comment', c.GetMetadata("", ("/shared/comment",))),
    (
        b"GETMETADATA (MAXSIZE 1024 DEPTH infinity) x (/private/a /shared/b)",
        c.GetMetadata("x", ("/private/a", "/shared/b"), 1024, None),
    ),
    (b"GETMETADATA (DEPTH 1) x /private/a", c.GetMetadata("x", ("/private/a",), None, 1)),
    (
        b'SETMETADATA x (/private/a "v" /private/b NIL /private/c ~{3+}\r\n\0x\0)',
        c.SetMetadata("x", (("/private/a", b"v"), ("/private/b", None), ("/private/c", b"\0x\0"))),
    ),
]

APPENDS: list[tuple[bytes, Verb]] = [
    (b"APPEND x {5}\r\nhello", c.Append("x", (AppendMessage(b"hello"),))),
    (b"APPEND {1}\r\nx {5+}\r\nhello", c.Append("x", (AppendMessage(b"hello"),))),
    (
        b'APPEND "x y" (\\seen $Junk) "17-Jul-1996 02:44:25 -0700" {2}\r\nhi',
        c.Append("x y", (AppendMessage(b"hi", ("\\Seen", "$Junk"), 837596665),)),
    ),
    (b'APPEND x " 1-Feb-1970 00:00:00 +0000" {0+}\r\n', c.Append("x", (AppendMessage(b"", (), 31 * 86400),))),
    (b'APPEND x () "01-Jan-1960 00:00:00 +0000" {1+}\r\na', c.Append("x", (AppendMessage(b"a", (), 0),))),
    (b"APPEND x ~{3+}\r\na\0b", c.Append("x", (AppendMessage(b"a\0b", binary=True),))),
    (
        b'APPEND x (\\Seen) {1+}\r\na (\\Draft) "17-Jul-1996 02:44:25 -0700" {1}\r\nb {1+}\r\nc',
        c.Append(
            "x",
            (
                AppendMessage(b"a", ("\\Seen",)),
                AppendMessage(b"b", ("\\Draft",), 837596665),
                AppendMessage(b"c"),
            ),
        ),
    ),
    (b"APPEND x {9+}\r\nb LOGOUT\n", c.Append("x", (AppendMessage(b"b LOGOUT\n"),))),
]

MESSAGES: list[tuple[bytes, Verb]] = [
    (b"EXPUNGE", c.Expunge()),
    (b"UID EXPUNGE 3:5", c.Expunge(numbers((3, 5)))),
    (b"COPY 1 x", c.Copy(ONE, "x")),
    (b"uid copy 1:* x", c.Copy(EVERY, "x", uid=True)),
    (b"MOVE $ x", c.Move(SAVED, "x")),
    (b'UID MOVE 1 "x"', c.Move(ONE, "x", uid=True)),
    (b"STORE 1 FLAGS ()", c.Store(ONE, "replace", ())),
    (b"STORE 1 flags \\Seen", c.Store(ONE, "replace", ("\\Seen",))),
    (b"STORE 1 +FLAGS \\seen $A \\SEEN", c.Store(ONE, "add", ("\\Seen", "$A"))),
    (b"UID STORE 1:* -flags.silent (\\Deleted)", c.Store(EVERY, "remove", ("\\Deleted",), uid=True, silent=True)),
    (
        b"STORE 1 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Flagged)",
        c.Store(ONE, "add", ("\\Flagged",), silent=True, unchanged_since=0),
    ),
    (b"FETCH 1 FLAGS", c.Fetch(ONE, (Att.FLAGS,))),
    (b"FETCH 1 fast", c.Fetch(ONE, fetch.FAST)),
    (b"FETCH 1 ALL", c.Fetch(ONE, fetch.ALL)),
    (b"FETCH 1 FULL", c.Fetch(ONE, fetch.FULL)),
    (b"UID FETCH 1:* (flags uid)", c.Fetch(EVERY, (Att.FLAGS, Att.UID), uid=True)),
    (
        b"FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE INTERNALDATE ENVELOPE BODY BODYSTRUCTURE)",
        c.Fetch(
            ONE,
            (
                *(Att.RFC822, Att.RFC822_HEADER, Att.RFC822_TEXT, Att.SIZE),
                *(Att.INTERNALDATE, Att.ENVELOPE, Att.BODY, Att.BODYSTRUCTURE),
            ),
        ),
    ),
    (
        b"FETCH 1 (MODSEQ EMAILID THREADID SAVEDATE PREVIEW)",
        c.Fetch(ONE, (Att.MODSEQ, Att.EMAILID, Att.THREADID, Att.SAVEDATE, Att.PREVIEW)),
    ),
    (b"FETCH 1 PREVIEW (LAZY)", c.Fetch(ONE, (Att.PREVIEW_LAZY,))),
    (b"FETCH 1 (PREVIEW (lazy) UID)", c.Fetch(ONE, (Att.PREVIEW_LAZY, Att.UID))),
    (b"FETCH 1 BODY[]", c.Fetch(ONE, (Section(),))),
    (b"FETCH 1 body.peek[]<0.1024>", c.Fetch(ONE, (Section(partial=(0, 1024), peek=True),))),
    (b"FETCH 1 BODY[HEADER]", c.Fetch(ONE, (Section(what="HEADER"),))),
    (b"FETCH 1 BODY[1.2.text]", c.Fetch(ONE, (Section((1, 2), "TEXT"),))),
    (b"FETCH 1 BODY[4.1.MIME]", c.Fetch(ONE, (Section((4, 1), "MIME"),))),
    (b"FETCH 1 BODY[3]", c.Fetch(ONE, (Section((3,)),))),
    (
        b'FETCH 1 BODY.PEEK[HEADER.FIELDS (From "To" {2+}\r\nCc)]',
        c.Fetch(ONE, (Section(what="HEADER.FIELDS", fields=("From", "To", "Cc"), peek=True),)),
    ),
    (
        b"FETCH 1 BODY[2.HEADER.FIELDS.NOT (DATE)]<9.1>",
        c.Fetch(ONE, (Section((2,), "HEADER.FIELDS.NOT", ("DATE",), (9, 1)),)),
    ),
    (
        b"FETCH 1 (BINARY[1.2] BINARY.PEEK[1]<0.9> BINARY.SIZE[] )".replace(b" )", b")"),
        c.Fetch(ONE, (Binary((1, 2)), Binary((1,), (0, 9), peek=True), BinarySize())),
    ),
    (b"FETCH 1 (UID UID FLAGS UID)", c.Fetch(ONE, (Att.UID, Att.FLAGS))),
    (b"FETCH 1 UID (CHANGEDSINCE 12345)", c.Fetch(ONE, (Att.UID,), changed_since=12345)),
    (
        b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        c.Fetch(EVERY, (Att.FLAGS,), uid=True, changed_since=1, vanished=True),
    ),
    (
        b"SORT (REVERSE DATE SUBJECT) UTF-8 ALL",
        c.Sort(search.All(), (("DATE", True), ("SUBJECT", False))),
    ),
    (
        b"UID SORT RETURN (COUNT) (ARRIVAL) us-ascii UNSEEN",
        c.Sort(Not(Flagged("\\Seen")), (("ARRIVAL", False),), uid=True, returns=("COUNT",)),
    ),
    (b"THREAD REFERENCES UTF-8 ALL", c.Thread(search.All(), "REFERENCES")),
    (b"UID THREAD orderedsubject UTF-8 SEEN", c.Thread(Flagged("\\Seen"), "ORDEREDSUBJECT", uid=True)),
    (b"SEARCH ALL", c.Search(search.All())),
    (b"UID SEARCH RETURN (MIN max COUNT) SEEN", c.Search(Flagged("\\Seen"), uid=True, returns=("MIN", "MAX", "COUNT"))),
    (b"SEARCH RETURN () SEEN", c.Search(Flagged("\\Seen"), returns=("ALL",))),
    (b"SEARCH RETURN (SAVE) SEEN", c.Search(Flagged("\\Seen"), returns=("SAVE",))),
    (b"SEARCH CHARSET UTF-8 TEXT {3+}\r\n\xe2\x82\xac", c.Search(Text("TEXT", "€"))),
    (b"SEARCH CHARSET KOI8-R SUBJECT {2+}\r\n\xcd\xc9", c.Search(Text("SUBJECT", "ми"))),
    (b"SEARCH BODY {3+}\r\n\xe2\x82\xac", c.Search(Text("BODY", "€"))),
]

KEYS: list[tuple[bytes, search.Key]] = [
    (b"ANSWERED", Flagged("\\Answered")),
    (b"UNDELETED", Not(Flagged("\\Deleted"))),
    (b"NOT NOT SEEN", Flagged("\\Seen")),
    (b"NOT UNSEEN", Flagged("\\Seen")),
    (b"KEYWORD $Junk", Flagged("$Junk")),
    (b"UNKEYWORD $Junk", Not(Flagged("$Junk"))),
    (b"NEW", And((search.Recent(), Not(Flagged("\\Seen"))))),
    (b"OLD", Not(search.Recent())),
    (b"2,4:7,9,12:*", Messages(numbers((2, 2), (4, 7), (9, 9), (12, STAR)))),
    (b"*", Messages(numbers((STAR, STAR)))),
    (b"$", Messages(SAVED)),
    (b"UID 5:3", Messages(numbers((3, 5)), uid=True)),
    (b"UID $", Messages(SAVED, uid=True)),
    (b'FROM "smith" TO x CC y BCC z', And((Text("FROM", "smith"), Text("TO", "x"), Text("CC", "y"), Text("BCC", "z")))),
    (b'HEADER Message-ID "<a@b>"', Header("Message-ID", "<a@b>")),
    (b'HEADER List-Id ""', Header("List-Id", "")),
    (b"SINCE 1-Feb-1994", search.Date("internal", "since", date(1994, 2, 1))),
    (b'BEFORE "31-dec-2020"', search.Date("internal", "before", date(2020, 12, 31))),
    (b"ON 01-JAN-2000", search.Date("internal", "on", date(2000, 1, 1))),
    (b"SENTON 1-Jan-2000", search.Date("sent", "on", date(2000, 1, 1))),
    (b"SAVEDSINCE 1-Jan-2000", search.Date("saved", "since", date(2000, 1, 1))),
    (b"SAVEDATESUPPORTED", search.SaveDateSupported()),
    (b"LARGER 1000000", Size(larger=True, size=1000000)),
    (b"SMALLER 4294967296", Size(larger=False, size=4294967296)),
    (b"OLDER 60 YOUNGER 1", And((Age(older=True, seconds=60), Age(older=False, seconds=1)))),
    (b"MODSEQ 620162338", search.Modseq(620162338)),
    (b'MODSEQ "/flags/\\\\draft" all 5', search.Modseq(5, "/flags/\\draft")),
    (b"EMAILID M-12_a", search.EmailId("M-12_a")),
    (b"THREADID T1", search.ThreadId("T1")),
    (b"OR SEEN OR DRAFT FLAGGED", Or((Flagged("\\Seen"), Flagged("\\Draft"), Flagged("\\Flagged")))),
    (b"OR (SEEN DRAFT) 1", Or((And((Flagged("\\Seen"), Flagged("\\Draft"))), Messages(ONE)))),
    (b"(SEEN (DRAFT (FLAGGED)))", And((Flagged("\\Seen"), Flagged("\\Draft"), Flagged("\\Flagged")))),
    (b"ALL SEEN ALL", Flagged("\\Seen")),
    (b"(ALL)", search.All()),
    (b'SUBJECT {1}\r\nx NOT BODY {2+}\r\n"y', And((Text("SUBJECT", "x"), Not(Text("BODY", '"y'))))),
]


@pytest.mark.parametrize(("text", "wanted"), SESSION + MAILBOXES + APPENDS + MESSAGES)
def test_a_command_is_parsed_into_its_value(text: bytes, wanted: Verb) -> None:
    assert verb(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), KEYS)
def test_a_search_key_is_parsed_into_its_value(text: bytes, wanted: search.Key) -> None:
    assert verb(b"SEARCH " + text) == c.Search(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'SELECT "\xc3\xa9t\xc3\xa9"', c.Select("été")),
        (b"SELECT &AOk-", c.Select("&AOk-")),
        (b"SELECT {2+}\r\n\xc3\xa9", c.Select("é")),
        (b'SEARCH SUBJECT "\xe2\x82\xac"', c.Search(Text("SUBJECT", "€"))),
        (b"APPEND x UTF8 (~{1+}\r\na)", c.Append("x", (AppendMessage(b"a", binary=True),))),
    ],
)
def test_with_utf8_accepted_names_and_strings_are_utf8(text: bytes, wanted: Verb) -> None:
    assert verb(text, utf8=True) == wanted


def test_secrets_are_not_shown() -> None:
    assert "se cret" not in repr(verb(b'LOGIN alice "se cret"'))
    assert "user=a" not in repr(verb(b"AUTHENTICATE XOAUTH2 dXNlcj1h"))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (b"BODY[]", b"BODY[]"),
        (b"body.peek[1.2.header]", b"BODY[1.2.HEADER]"),
        (b"BODY.PEEK[HEADER.FIELDS (From to)]<5.10>", b"BODY[HEADER.FIELDS (From to)]<5>"),
        (b'BODY[1.HEADER.FIELDS.NOT ("a b")]', b'BODY[1.HEADER.FIELDS.NOT ("a b")]'),
        (b"BINARY.PEEK[1.3]<0.5>", b"BINARY[1.3]<0>"),
        (b"BINARY.SIZE[2]", b"BINARY.SIZE[2]"),
        (b"PREVIEW (LAZY)", b"PREVIEW"),
        (b"RFC822.SIZE", b"RFC822.SIZE"),
        (b"BODY[HEADER.FIELDS ({3+}\r\na\r\n)]", b"BODY[HEADER.FIELDS ({3}\r\na\r\n)]"),
    ],
)
def test_an_item_is_named_in_the_answer_as_the_client_asked(text: bytes, label: bytes) -> None:
    asked = verb(b"FETCH 1 " + text)
    assert isinstance(asked, c.Fetch)
    assert asked.items[0].label == label


@pytest.mark.parametrize(
    ("text", "seen"),
    [(b"BODY[]", True), (b"BODY.PEEK[]", False), (b"RFC822", True), (b"RFC822.HEADER", False), (b"BINARY[1]", True)],
)
def test_fetching_without_peek_marks_as_read(text: bytes, seen: bool) -> None:
    asked = verb(b"FETCH 1 " + text)
    assert isinstance(asked, c.Fetch)
    assert fetch.sets_seen(asked.items[0]) is seen
