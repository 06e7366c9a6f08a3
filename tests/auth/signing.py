"""Keys and tokens for the tests: good ones, and such as an attacker would make."""

import base64
import hashlib
import hmac
import json
import warnings
from typing import Any

import jwt
import jwt.algorithms
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from merpati.auth.credentials import OAuthIssuer

NOW = 1_700_000_000.0
ISSUER = OAuthIssuer(
    issuer="https://id.example", jwks_url="https://id.example/keys", audience="merpati", scope="mail", claim="email"
)

RSA_KEY = rsa.generate_private_key(65_537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65_537, 2048)
SMALL_RSA_KEY = rsa.generate_private_key(65_537, 1024)
P256_KEY = ec.generate_private_key(ec.SECP256R1())
P384_KEY = ec.generate_private_key(ec.SECP384R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public key as an issuer shows it."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    return dict(jwk) | ({"kid": kid} if kid is not None else {}) | more


KEYS: list[dict[str, Any]] = [
    public_jwk(RSA_KEY, "rsa"),
    public_jwk(P256_KEY, "p256"),
    public_jwk(P384_KEY, "p384"),
    public_jwk(ED_KEY, "ed"),
    public_jwk(SMALL_RSA_KEY, "small"),
    public_jwk(OTHER_RSA_KEY, "for encryption", use="enc"),
]


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys or KEYS)}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims; None leaves one out."""
    good: dict[str, Any] = {
        "iss": "https://id.example",
        "aud": "merpati",
        "sub": "1",
        "email": "alice@a.example",
        "scope": "openid mail",
        "iat": int(NOW) - 10,
        "exp": int(NOW) + 600,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(said: dict[str, Any] | None = None, key: Any = RSA_KEY, algorithm: str = "RS256", **header: Any) -> bytes:
    """A token signed as it should be."""
    header = {"kid": "rsa"} | header
    wanted = {name: value for name, value in header.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # the small key is small on purpose
        return jwt.encode(said if said is not None else claims(), key, algorithm, headers=wanted).encode()


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def handmade(header: Any, said: Any, signature: bytes = b"") -> bytes:
    """A token that no library would make."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, said)]
    return b".".join([*(b64(part) for part in parts), b64(signature)])


def confused(header: dict[str, Any]) -> bytes:
    """HS256 with the public key as the secret: what a careless verifier takes (CVE-2015-9235)."""
    secret = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message = b64(json.dumps(header).encode()) + b"." + b64(json.dumps(claims()).encode())
    return message + b"." + b64(hmac.new(secret, message, hashlib.sha256).digest())
