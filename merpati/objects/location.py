"""Where the store is, read from `[store] url` and the environment: the one place that knows the form of the URL.

`file:` (in the data folder), `memory:`, or `s3://bucket?endpoint=http://127.0.0.1:9000&region=eu-west-1`.  Keys never
stand in the URL: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from files that AWS_…_FILE name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from merpati.errors import Misconfigured

_OPTIONS = ("endpoint", "region", "path_style")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
"""S3's rule for bucket names."""


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and how to reach it.  The secrets are kept out of `repr`, so that no log line shows them."""

    bucket: str
    endpoint: str = ""
    """`http://host:port`; empty is AWS."""
    region: str = "us-east-1"
    path_style: bool = True
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)


def s3_location(url: str, environment: Mapping[str, str]) -> S3Location:
    """The bucket of an `s3://` URL.  Raises `Misconfigured`."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not _BUCKET.match(parts.netloc) or parts.path.strip("/") or parts.fragment:
        raise Misconfigured(f"store.url: {_safe(url)} is not of the form s3://bucket?endpoint=http://host:port")
    options = _options(url, parts.query)
    endpoint = options.get("endpoint", "").rstrip("/")
    if endpoint and not re.match(r"https?://[^/@]+\Z", endpoint):
        raise Misconfigured("store.url: endpoint must be http://host:port or https://host:port")
    return S3Location(
        bucket=parts.netloc,
        endpoint=endpoint,
        region=options.get("region") or environment.get("AWS_REGION") or "us-east-1",
        path_style=options.get("path_style", "true" if endpoint else "false") == "true",
        access_key=_secret("AWS_ACCESS_KEY_ID", environment),
        secret_key=_secret("AWS_SECRET_ACCESS_KEY", environment),
        session_token=_secret("AWS_SESSION_TOKEN", environment),
    )


def _options(url: str, query: str) -> dict[str, str]:
    found = parse_qs(query, keep_blank_values=True)
    for name in found:
        if name not in _OPTIONS:
            raise Misconfigured(f"store.url: unknown option {name!r}; there are {', '.join(_OPTIONS)}")
    return {name: values[-1] for name, values in found.items()}


def _secret(name: str, environment: Mapping[str, str]) -> str:
    if environment.get(name):
        return environment[name]
    file = environment.get(f"{name}_FILE", "")
    if not file:
        return ""
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}_FILE: cannot read {file}: {error}") from None


def _safe(url: str) -> str:
    """The URL without what may be a secret in it, for an error message."""
    return repr(re.sub(r"//[^/?#]*@", "//…@", url.partition("?")[0]))
