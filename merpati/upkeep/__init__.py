"""What keeps a whole bucket clean: the daily rounds through all logs, removed accounts, large bodies nobody needs."""
