"""The grammar (RFC 9051 section 9, RFC 3501 section 9 and the extensions): text and literals → `commands`.

The reader calls `table.parse` with the pieces of one command.  `cursor` reads tokens; each other module reads the
arguments of one family of commands.  All are pure; a command that is not one raises `Refused`.
"""
