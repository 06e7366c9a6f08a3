"""The doors mail comes in by: SMTP for other servers (MX), submission for users, LMTP and HTTP.

Imports `merpati` only, never another service.
"""
