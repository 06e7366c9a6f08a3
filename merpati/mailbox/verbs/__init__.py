"""What can be done to a mailbox: each verb a function that gives a pure decider, state → decision.

`account` hands them to `CommitLog.commit`, which calls them again on a newer state whenever another writer was first.
Nothing here waits, reads a clock, or keeps anything.
"""
