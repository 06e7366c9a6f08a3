"""POP3 (RFC 1939): `wire` is the grammar, pure; the session stands beside it."""
