"""Immutable objects under keys: one API, three stores (S3, files, memory), decorators over them, one contract suite."""
