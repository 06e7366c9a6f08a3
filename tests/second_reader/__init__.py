"""Whether docs/mailbox-log.md explains the format: a reader that was written from it, and shares no code."""
