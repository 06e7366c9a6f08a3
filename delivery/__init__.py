"""What carries a message to its end: local appends to mailbox logs, remote relaying over SMTP, bounces.

Imports `merpati` only, never another service.
"""
