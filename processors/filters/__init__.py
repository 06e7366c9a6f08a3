"""Processors that come with Merpati and decide by what a message says."""
