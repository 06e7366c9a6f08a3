"""Relaying: from `mail.outbound` to the next hop, with retries over the tier topics and a report after the last."""
