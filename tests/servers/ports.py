"""Free ports on loopback for servers that are told their port.

Called by whoever starts a server. A port comes from below the range that the kernel gives to outgoing connections, so
that a server killed and started again finds its port still free; it is never held open here.  Postfix and Merpati share
a listening port with whoever asks (SO_REUSEPORT), so two test runs that chose the same one would not be told: what is
given is reserved against every other run on this machine.
"""

import pathlib
import random
import socket

LOWEST = 12_000
_RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_reserved: dict[int, socket.socket] = {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that a port in TIME_WAIT is free here too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Take the port's name among abstract sockets, which Linux gives to one process until it ends."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0merpati-tests-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved[port] = name
    return True


def _ends_below() -> int:
    return int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768


def free_port() -> int:
    """A port that is free now and is not given twice as long as this process lives."""
    dice = random.SystemRandom()
    for _ in range(1_000):
        port = dice.randrange(LOWEST, max(_ends_below(), LOWEST + 5_000))
        if port not in _reserved and _is_free(port) and _reserve(port):
            return port
    raise RuntimeError("no free port on loopback")
