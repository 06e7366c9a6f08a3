"""Whether anybody listens at the brokers' addresses: asked before a client is made, which would ask for much longer.

Called by `admin` and `pump` in their threads.  Says nothing about whether it is Kafka that listens.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from merpati.errors import Unavailable

CONNECT_SECONDS = 5.0


def reach(addresses: Sequence[str]) -> None:
    """Raises `Unavailable` if no connection can be made to any of `host:port`."""
    failures = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
            return
        except OSError as error:
            failures.append(f"{address}: {error.strerror or error}")
    raise Unavailable("no Kafka broker can be reached", tried=failures)
