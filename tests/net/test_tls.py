"""Certificates: made once however many start, read again when they change, never half."""

import multiprocessing
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from merpati.clock import ManualClock, SystemClock
from merpati.errors import Misconfigured
from merpati.net.self_signed import DAYS, CertificateFiles, ensure_self_signed
from merpati.net.tls import LOOK_AGAIN, ServerTls, server_context, verified


def make_one(arguments: tuple[Path, str]) -> bytes:
    files = ensure_self_signed(*arguments, SystemClock())
    return files.certificate.read_bytes()


def test_processes_that_start_at_once_share_one_pair(tmp_path: Path) -> None:
    folders = [tmp_path / str(i) for i in range(20)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pairs = pool.map(make_one, [(folder, "mx.example.org") for folder in folders for _ in range(4)], chunksize=1)
    assert [len(set(pairs[i : i + 4])) for i in range(0, len(pairs), 4)] == [1] * len(folders)
    assert sorted(os.listdir(folders[0] / "tls")) == ["self-signed.crt", "self-signed.pem"]


def test_the_pair_is_for_us_alone_and_names_the_host(certificate: CertificateFiles) -> None:
    assert stat.S_IMODE(certificate.key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in certificate.public.read_bytes()
    made = x509.load_pem_x509_certificate(certificate.public.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.example.org", "localhost"]
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == made.public_key()


@pytest.mark.parametrize(
    "hostname", ["192.0.2.1", "2001:db8::1", "localhost", "a" * 63 + "." + "b" * 63, "bücher.example"]
)
def test_any_host_name_gets_a_certificate(tmp_path: Path, hostname: str) -> None:
    files = ensure_self_signed(tmp_path, hostname, SystemClock())
    server_context(files.certificate, files.key)
    assert ensure_self_signed(tmp_path, hostname, SystemClock()) == files


def test_a_pair_is_kept_until_it_runs_out_or_the_name_changes(tmp_path: Path) -> None:
    clock = ManualClock()
    first = ensure_self_signed(tmp_path, "a.example", clock).certificate.read_bytes()
    assert ensure_self_signed(tmp_path, "a.example", clock).certificate.read_bytes() == first
    second = ensure_self_signed(tmp_path, "b.example", clock).certificate.read_bytes()
    assert second != first
    late = ManualClock(clock.time() + (DAYS - 10) * 86_400)
    assert ensure_self_signed(tmp_path, "b.example", late).certificate.read_bytes() != second


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_broken_pair_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "self-signed.pem").write_bytes(content)
    files = ensure_self_signed(tmp_path, "a.example", SystemClock())
    server_context(files.certificate, files.key)


def test_a_folder_that_cannot_be_written_is_said_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file, not a folder")
    with pytest.raises(Misconfigured, match="cannot keep a certificate in"):
        ensure_self_signed(tmp_path, "a.example", SystemClock())


async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    clock, broken = ManualClock(), list[Misconfigured]()
    one = ensure_self_signed(tmp_path / "one", "a.example", clock)
    other = ensure_self_signed(tmp_path / "other", "a.example", clock)
    live = tmp_path / "live.pem"
    live.write_bytes(one.certificate.read_bytes())
    tls = ServerTls(live, live, clock, broken.append)
    first = tls.context()
    await clock.advance(LOOK_AGAIN)
    assert tls.context() is first, "nothing changed"
    live.write_bytes(b"half a renewal")
    assert tls.context() is first, "not looked at yet"
    for _ in range(3):
        await clock.advance(LOOK_AGAIN)
        assert tls.context() is first
    assert len(broken) == 1, "told once"
    live.write_bytes(other.certificate.read_bytes())
    await clock.advance(LOOK_AGAIN)
    assert tls.context() is not first
    live.unlink()
    await clock.advance(LOOK_AGAIN)
    assert tls.context() is not first
    assert len(broken) == 2


def test_a_missing_or_foreign_key_is_said_in_plain_words(tmp_path: Path, certificate: CertificateFiles) -> None:
    other = ensure_self_signed(tmp_path, "a.example", SystemClock())
    key = tmp_path / "key.pem"
    key.write_bytes(other.key.read_bytes().partition(b"-----BEGIN CERT")[0])
    for wrong in (tmp_path / "nothing.pem", key):
        with pytest.raises(Misconfigured, match=r"tls\.key"):
            ServerTls(certificate.certificate, wrong, SystemClock())
    with pytest.raises(Misconfigured, match="authorities"):
        verified(tmp_path / "nothing.pem")


def test_nothing_older_than_tls_1_2_is_spoken(certificate: CertificateFiles) -> None:
    context = server_context(certificate.certificate, certificate.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    weak = ("NULL", "RC4", "3DES", "DES-CBC3", "EXP", "MD5", "ADH", "AECDH")
    ciphers = [cipher["name"] for cipher in context.get_ciphers()]
    assert [name for name in ciphers if any(word in name for word in weak)] == []
    assert all(name.startswith(("TLS_", "ECDHE", "DHE")) for name in ciphers), "forward secrecy"
