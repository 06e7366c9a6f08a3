"""The words of IMAP: bytes in, typed commands out; values in, response bytes out.

Called by the session, which owns the socket.  Nothing in this package waits, opens, reads a clock or knows a mailbox.

`reader.Reader`     `feed(bytes)` and `next()` give `events`: a `Command`, a literal to ask for, a refusal, or None
`commands`          what a client can ask for, one frozen value a command; with `search` and `fetch` for their arguments
`grammar/`          text → those values; called by the reader only
`sequence`          `SequenceSet`: `1:4,7,*`
`responses`         values → response lines; `render` has the strings, flags and dates, `codes` the response codes
`utf7`, `wildcard`  mailbox names as modified UTF-7; matching them with `*` and `%`
"""
