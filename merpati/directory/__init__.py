"""Who is here: domains, accounts with their passwords, aliases.  A log per domain on the object store, no database."""
