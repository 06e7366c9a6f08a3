"""Who is there: SASL mechanisms, passwords, OAuth tokens, and the throttling of those who guess."""
