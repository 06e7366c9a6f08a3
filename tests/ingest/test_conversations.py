"""Conversations with the doors, as tables: what a client says, and how each reply begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.world import world

EHLO = "C: EHLO client.test\nS: 250-mx.here.test\n"
MAIL = EHLO + "C: MAIL FROM:<who@else.test>\nS: 250 2.1.0\n"
RCPT = MAIL + "C: RCPT TO:<ann@here.test>\nS: 250 2.1.5\n"
DATA = RCPT + "C: DATA\nS: 354 \n"

MX = {
    "a message is taken": DATA
    + r"""
        C> Subject: x\r\n\r\nhello\r\n.\r\n
        S: 250 2\.0\.0 accepted as [0-9a-f-]{36}
        C: QUIT
        S: 221 2.0.0
        S.""",
    "helo is enough": """
        C: HELO client.test
        S: 250 mx.here.test
        C: MAIL FROM:<>
        S: 250 2.1.0
        C: RCPT TO:<ann@here.test>
        S: 250
        C: MAIL FROM:<> SIZE=1
        S: 503 5.5.1""",
    "parameters need ehlo": """
        C: HELO client.test
        S: 250
        C: MAIL FROM:<> SIZE=1
        S: 555 5.5.4""",
    "commands in the wrong order": """
        C: MAIL FROM:<a@b.test>
        S: 503 5.5.1 send EHLO first
        C: EHLO client.test
        S: 250-
        C: RCPT TO:<ann@here.test>
        S: 503 5.5.1 MAIL first
        C: DATA
        S: 503 5.5.1 MAIL first
        C: MAIL FROM:<a@b.test>
        S: 250
        C: DATA
        S: 503 5.5.1 RCPT first
        C: MAIL FROM:<a@b.test>
        S: 503 5.5.1 sender
        C: RCPT TO:<nobody@here.test>
        S: 550 5.1.1
        C: DATA
        S: 554 5.5.1 no valid recipients
        C: RSET
        S: 250 2.0.0
        C: RCPT TO:<ann@here.test>
        S: 503 5.5.1""",
    "there is no login": EHLO
    + """
        C: AUTH PLAIN AGFubgBhbm4=
        S: 50[023] 5.5.1""",
    "what is not there": EHLO
    + """
        C: EXPN staff
        S: 502 5.5.1
        C: XYZZY
        S: 500 5.5.2
        C: VRFY ann
        S: 252 2.1.5
        C: HELP
        S: 214 2.0.0
        C: NOOP whatever
        S: 250 2.0.0
        C: DATA now
        S: 501 5.5.4
        C: RSET x
        S: 501 5.5.4""",
    "ehlo wants a host name": """
        C: EHLO
        S: 501 5.5.4
        C: EHLO a b
        S: 501 5.5.4
        C: EHLO <script>
        S: 501 5.5.4
        C: EHLO [192.0.2.1]
        S: 250-
        C: EHLO [IPv6:2001:db8::1]
        S: 250-
        C: EHLO host_name
        S: 250-""",
    "pipelined commands are answered in order": r"""
        C> EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n
        S: 554 5.5.0""",
    "a pipelined transaction": EHLO
    + r"""
        C> MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@here.test>\r\nRCPT TO:<no@here.test>\r\nDATA\r\n
        S: 250 2.1.0
        S: 250 2.1.5
        S: 550 5.1.1
        S: 354
        C> .\r\nQUIT\r\n
        S: 250 2.0.0
        S: 221
        S.""",
    # HOSTILE S4
    "a body before the 354 is out of step": RCPT
    + r"""
        C> DATA\r\nSubject: x\r\n\r\n.\r\n
        S: 554 5.5.0
        S.""",
    "a body nobody asked for": MAIL
    + r"""
        C> DATA\r\nSubject: x\r\n.\r\n
        S: 503 5.5.1
        S: 500 5.5.2
        S: 500 5.5.2""",
    # HOSTILE S3
    "a bare lf does not end a command": EHLO
    + r"""
        C> NOOP\n
        S: 500 5.5.2
        S.""",
    "a bare lf hides no command": MAIL
    + r"""
        C> RCPT TO:<d@e.test\nDATA>\r\n
        S: 501 5.5.2
        S.""",
    "control characters are refused": EHLO
    + r"""
        C> MAIL FROM:<a@b.test\rX: y>\r\n
        S: 501
        C> NO\0OP\r\n
        S: 501
        C> MAIL FROM:<a@\0b.test>\r\n
        S: 501
        C> EHLO a\tb\r\n
        S: 501""",
    # HOSTILE S6
    "http is turned away": r"""
        C> POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO a\r\n
        S: 554 5.5.0
        S.""",
    "http with a long path too": f"""
        C: GET /{"x" * 600} HTTP/1.1
        S: 554 5.5.0
        S.""",
    "http after ehlo too": EHLO
    + """
        C: GET / HTTP/1.1
        S: 554 5.5.0
        S.""",
    # HOSTILE S8
    "long lines are refused by verb": EHLO
    + f"""
        C: NOOP {"x" * 505}
        S: 250
        C: NOOP {"x" * 506}
        S: 500 5.5.2
        C: MAIL FROM:<a@b.test> AUTH=<{"x" * 400}@y.test>
        S: 250
        C: RSET
        S: 250
        C: NOOP {"x" * 100_000}
        S: 500 5.5.2
        C: NOOP
        S: 250""",
    # HOSTILE S9
    "eight bits need smtputf8": EHLO
    + r"""
        C> MAIL FROM:<\xff\xfe@b.test>\r\n
        S: 553 5.6.7
        C> MAIL FROM:<\xc3\xbc@b.test>\r\n
        S: 553 5.6.7
        C> MAIL FROM:<\xff\xfe@b.test> SMTPUTF8\r\n
        S: 501 5.1.7
        C> MAIL FROM:<a@b.test>\r\n
        S: 250
        C> RCPT TO:<\xc3\xbc@here.test>\r\n
        S: 553 5.6.7
        C: RSET
        S: 250
        C> MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8 BODY=8BITMIME\r\n
        S: 250
        C> RCPT TO:<\xc3\xbc@here.test>\r\n
        S: 550 5.1.1""",
    # HOSTILE S10, S11, S12
    "parameters": EHLO
    + """
        C: MAIL FROM:<a@b.test> SIZE=99999999999
        S: 552 5.3.4
        C: MAIL FROM:<a@b.test> SIZE=x
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> BODY=BINARYMIME
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> ENVID=a+0D+0Ab
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> ENVID=a+20b
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> ENVID=a b
        S: 555 5.5.4
        C: MAIL FROM:<a@b.test> AUTH=a+0Ab
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> RET=SOME
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> RET=FULL RET=HDRS
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> SMTPUTF8=yes
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> XYZZY=1
        S: 555 5.5.4
        C: MAIL FROM:<a@b.test>SIZE=1
        S: 501 5.5.4
        C: MAIL FROM:<a@b.test> SIZE=1 RET=hdrs ENVID=QQ+2B1 AUTH=<> BODY=7bit
        S: 250 2.1.0
        C: RCPT TO:<ann@here.test> NOTIFY=NEVER,DELAY
        S: 501 5.5.4
        C: RCPT TO:<ann@here.test> NOTIFY=SOMETIMES
        S: 501 5.5.4
        C: RCPT TO:<ann@here.test> ORCPT=nonsense
        S: 501 5.5.4
        C: RCPT TO:<ann@here.test> ORCPT=rfc822;a+0D+0AX:+20y@b.test
        S: 501 5.5.4
        C: RCPT TO:<ann@here.test> SIZE=1
        S: 555 5.5.4
        C: RCPT TO:<ann@here.test> NOTIFY=success,delay ORCPT=rfc822;Ann+2Bx@old.test
        S: 250 2.1.5""",
    "brackets may be missing": EHLO
    + """
        C: MAIL FROM: a@b.test
        S: 250
        C: RCPT TO:ann@here.test
        S: 250
        C: RCPT TO:ann@here.test>
        S: 501
        C: RCPT TO:
        S: 501
        C: RCPT TO:<>
        S: 501
        C: RCPT ann@here.test
        S: 501""",
    # HOSTILE S5
    "chunks": RCPT
    + r"""
        C> BDAT 9\r\nhello\r\n.\r
        S: 250 2.0.0 9 octets
        C> BDAT 3\r\n\n\r\n
        S: 250 2.0.0 3 octets
        C: DATA
        S: 503 5.5.1
        C: RCPT TO:<bob@here.test>
        S: 503 5.5.1
        C> BDAT 0 LAST\r\n
        S: 250 2.0.0 accepted
        C: BDAT 0 LAST
        S: 503 5.5.1""",
    "chunks that were not asked for are read away": EHLO
    + r"""
        C> BDAT 6\r\nQUIT\r\n
        S: 503 5.5.1
        C> BDAT 12 LAST\r\nMAIL FROM:<>
        S: 503 5.5.1
        C: MAIL FROM:<>
        S: 250
        C> BDAT 4\r\nRSET
        S: 503 5.5.1
        C: NOOP
        S: 250""",
    "a chunk without a size": RCPT
    + r"""
        C> BDAT x\r\nQUIT\r\n
        S: 501 5.5.4
        S.""",
    "a chunk beyond all limits": RCPT
    + """
        C: BDAT 99999999999
        S: 552 5.3.4
        S.""",
    "rset between chunks": RCPT
    + r"""
        C> BDAT 4\r\nhalf
        S: 250
        C: RSET
        S: 250
        C> BDAT 4 LAST\r\nhalf
        S: 503 5.5.1""",
    "a bare lf in a chunk": RCPT
    + r"""
        C> BDAT 4\r\na\nb\n
        S: 250 2.0.0 4 octets
        C> BDAT 2 LAST\r\n\r\n
        S: 550 5.5.2
        S: 421
        S.""",
    # HOSTILE T1, T2
    "nothing may follow starttls": EHLO
    + r"""
        C> STARTTLS\r\nNOOP\r\n
        S: 503 5.5.1
        S.""",
    "starttls forgets": RCPT
    + """
        C: STARTTLS
        S: 220 2.0.0
        TLS
        C: MAIL FROM:<a@b.test>
        S: 503 5.5.1 send EHLO
        C: RCPT TO:<ann@here.test>
        S: 503
        C: EHLO client.test
        S: (?s)(?!.*STARTTLS)250-
        C: RCPT TO:<ann@here.test>
        S: 503 5.5.1 MAIL first
        C: STARTTLS
        S: 503 5.5.1""",
    "starttls takes no argument": EHLO
    + """
        C: STARTTLS now
        S: 501 5.5.4
        C: NOOP
        S: 250""",
    "what is offered": """
        C: EHLO client.test
        S: (?s)(?=.*PIPELINING)(?=.*SIZE 52428800)(?=.*STARTTLS)(?=.*8BITMIME)(?=.*SMTPUTF8)250-
        C: EHLO client.test
        S: (?s)(?=.*DSN)(?=.*CHUNKING)(?=.*ENHANCEDSTATUSCODES)(?!.*AUTH)250-""",
    "twenty errors are enough": "C: RSET\nS: 250\n" + "C: RCPT\nS: 50\n" * 20 + "S: 421 4.7.0\nS.",
}

LMTP = {
    "lhlo and nothing else": """
        C: EHLO client.test
        S: 500 5.5.2
        C: HELO client.test
        S: 500 5.5.2
        C: MAIL FROM:<>
        S: 503 5.5.1 send LHLO first
        C: LHLO client.test
        S: 250-""",
    "a reply for each recipient": r"""
        C: LHLO client.test
        S: 250-
        C> MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@here.test>\r\nRCPT TO:<no@here.test>\r\n
        C> RCPT TO:<bob@here.test>\r\nDATA\r\n
        S: 250
        S: 250
        S: 550 5.1.1
        S: 250
        S: 354
        C> Subject: x\r\n\r\n.\r\n
        S: 250 2.0.0
        S: 250 2.0.0
        C: RCPT TO:<out@far.test>
        S: 503""",
    "a refusal for each recipient": r"""
        C: LHLO client.test
        S: 250-
        C> MAIL FROM:<a@b.test>\r\nRCPT TO:<ann@here.test>\r\nRCPT TO:<bob@here.test>\r\n
        S: 250
        S: 250
        S: 250
        C> BDAT 3 LAST\r\na\0b
        S: 550 5.6.0
        S: 550 5.6.0
        C: NOOP
        S: 250""",
    "no relaying": """
        C: LHLO client.test
        S: 250-
        C: MAIL FROM:<a@b.test>
        S: 250
        C: RCPT TO:<u@far.test>
        S: 550 5.7.1""",
}


@pytest.mark.parametrize("name", MX)
async def test_mx(name: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await (await here.talk()).run(MX[name])


@pytest.mark.parametrize("name", LMTP)
async def test_lmtp(name: str, tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await (await here.talk("lmtp")).run(LMTP[name])
