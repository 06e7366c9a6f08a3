"""The generic commit log on an object store: the mailbox of an account and the directory of a domain are both one."""
