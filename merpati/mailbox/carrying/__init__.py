"""Mailboxes out of and into other forms: Maildir, mbox, and an archive that loses nothing.  Called by the command line.

`leaving` and `arriving` drive; a form is a writer and a reader of files that know nothing of logs.  Both directions
hold a batch of a few megabytes; a large message goes through a temporary file.
"""
