"""`merpati demo`: the way of an e-mail, live: two servers on loopback, a message at each step of its way, hop by hop.

`stage` sets the two servers up, `acts` is what happens, `clients` are the mail clients that act, `plugin` the processor
that the receiving server runs, `show` the printing.
"""

from merpati.cli.demo.acts import command

__all__ = ["command"]
