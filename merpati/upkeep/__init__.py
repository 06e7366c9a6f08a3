"""What keeps a whole bucket clean, beyond single logs: removed accounts, and large bodies nobody refers to."""
