"""What is measured: Merpati on each engine, and Postfix with Dovecot beside it, each as a set of ports and users."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.dovecot import dovecot
from tests.servers import S3_ENVIRONMENT, free_port, kafka, minio, new_bucket, postfix
from tests.servers.merpati_installation import PASSWORD, ROLES, merpati

USERS = 20
DOMAIN = "bench.test"
PLAINTEXT = {"auth.plaintext_networks": ["127.0.0.0/8"]}
APART = tuple((role,) for role in ROLES)


@dataclass(frozen=True)
class System:
    """Where to send and where to read.  Logins go in clear: TLS is the same OpenSSL for all."""

    name: str
    smtp: int
    imap: int
    pop3: int
    password: str
    domain: str = DOMAIN

    def user(self, n: int) -> str:
        return f"u{n}@{self.domain}"


@contextlib.contextmanager
def embedded(folder: pathlib.Path) -> Iterator[System]:
    """SQLite and files, a process for each role."""
    users = [f"u{n}" for n in range(USERS)]
    with merpati(folder, users, domain=DOMAIN, groups=APART, sections=PLAINTEXT) as made:
        yield System("embedded", made.ports["mx"], made.ports["imap"], made.ports["pop3"], PASSWORD)


@contextlib.contextmanager
def scaled_out(folder: pathlib.Path) -> Iterator[System]:
    """One Kafka and one MinIO, on the same machine."""
    users = [f"u{n}" for n in range(USERS)]
    for part in ("kafka", "minio"):
        (folder / part).mkdir(parents=True)
    with kafka(folder / "kafka") as cluster, minio(folder / "minio") as store:
        keys = dict(S3_ENVIRONMENT)
        os.environ.update(keys)
        bucket = new_bucket(store.endpoint)
        with merpati(
            folder / "merpati", users, domain=DOMAIN, groups=APART, sections=PLAINTEXT, bus=cluster.url, store=bucket,
            environment=keys,
        ) as made:  # fmt: skip
            yield System("Kafka + MinIO", made.ports["mx"], made.ports["imap"], made.ports["pop3"], PASSWORD)


@contextlib.contextmanager
def peers(folder: pathlib.Path) -> Iterator[System]:
    """Postfix takes the mail and hands it to Dovecot by LMTP (Maildir), both with their own fsync settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in (folder, folder.parent):
        one.chmod(0o755)  # Dovecot's mail user has to get in
    ports = {name: free_port() for name in ("lmtp", "imap", "pop3")}
    settings = {
        "relay_domains": DOMAIN,
        "transport_maps": f"inline:{{{{{DOMAIN} = lmtp:inet:127.0.0.1:{ports['lmtp']}}}}}",
        "smtpd_client_connection_count_limit": "0",
        "lmtp_destination_concurrency_limit": "20",
    }
    with dovecot(folder, ports, PASSWORD), postfix(folder, settings=settings) as mta:
        yield System("Postfix + Dovecot", mta.port, ports["imap"], ports["pop3"], PASSWORD)
