"""What decides about a message: the pipeline of processors and the runners that feed it from the log.

Imports `merpati` only, never another service.
"""
