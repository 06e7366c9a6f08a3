"""IMAP (RFC 3501 and RFC 9051): `wire/` is the grammar, pure; what a command does stands with the commands."""
