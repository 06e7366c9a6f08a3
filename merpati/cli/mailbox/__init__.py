"""`merpati mailbox …`: what an operator does for one mailbox.  Importing a module here adds its commands to `app`.

Works on the store alone, beside a running server: whatever it writes is a commit like any other.
"""

from merpati.cli.mailbox import carrying, looking, mending, upkeep, verifying
from merpati.cli.mailbox.common import app

__all__ = ["app", "carrying", "looking", "mending", "upkeep", "verifying"]
