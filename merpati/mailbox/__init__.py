"""The account's state, folded from its log: views, and the verbs that change it."""
