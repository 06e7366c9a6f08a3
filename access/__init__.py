"""The doors people read mail by: IMAP, POP3, and the HTTP endpoints of every role.

Imports `merpati` only, never another service.
"""
