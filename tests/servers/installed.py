"""Where deploy/dev/servers.sh has put the real servers and clients, and words for one that is not there.

Called by the modules that start them and by tests that run a client. Installs nothing.
"""

import os
import pathlib
import shutil
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSIONS = ROOT / "deploy" / "dev" / "versions.sh"


class Missing(Exception):
    """A real part is not on this machine; the words say what to do."""


def versions() -> dict[str, str]:
    """The pins of deploy/dev/versions.sh by name."""
    lines = (line for line in VERSIONS.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def cache() -> pathlib.Path:
    """The directory of downloads, found in the same order as in deploy/dev/common.sh."""
    if named := os.environ.get("MERPATI_DEV_CACHE"):
        return pathlib.Path(named)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(xdg) / "merpati-dev"
    home = os.environ.get("HOME")
    if home and os.access(pathlib.Path(home) / ".cache", os.W_OK):
        return pathlib.Path(home) / ".cache" / "merpati-dev"
    return pathlib.Path(tempfile.gettempdir()) / f"merpati-dev-{os.getuid()}"


def cached(part: str, path: str) -> pathlib.Path:
    """A file or directory of the cache, or Missing."""
    found = cache() / path
    if not found.exists():
        raise Missing(f"{part} is not installed ({found} is not there): run make servers")
    return found


def tool(name: str) -> str:
    """The path of a program that Debian's packages bring (postfix, swaks, mbsync …), or Missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed: run make servers")
    return found
