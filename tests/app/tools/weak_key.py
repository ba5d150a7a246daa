"""A key of a restic repository that opens at once: half a second of each of restic's calls is the work that protects a password.

Theory. The key file holds the repository's own key, encrypted under one that scrypt makes of the password: AES-256 in counter mode,
and Poly1305-AES over the result. It says itself how much work scrypt is to do, so it can be written anew with as little
as there is. Nothing else in the repository knows of it.

Owns that file. Refuses to know any other repository than one that a test has made.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

_NONCE_BYTES = _MAC_BYTES = 16
_WEAK = {"N": 2, "r": 8, "p": 1}
_MEMORY_BYTES_MAX = 1 << 28


def weaken(repository: Path, password: str) -> None:
    """Write the one key of a repository anew, so that opening it takes no time."""
    (file,) = (repository / "keys").iterdir()
    key = json.loads(file.read_bytes())
    sealed = b64decode(key["data"])
    nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:-_MAC_BYTES]
    opened = _counted(_derived(password, key), nonce, text)
    key |= _WEAK
    new = _derived(password, key)
    text = _counted(new, nonce, opened)
    key["data"] = b64encode(nonce + text + _mac(new, nonce, text)).decode()
    content = json.dumps(key).encode()
    file.unlink()
    (file.parent / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _derived(password: str, key: dict[str, str]) -> bytes:
    work = {"n": int(key["N"]), "r": int(key["r"]), "p": int(key["p"])}
    return hashlib.scrypt(password.encode(), salt=b64decode(key["salt"]), dklen=64, maxmem=_MEMORY_BYTES_MAX, **work)


def _counted(derived: bytes, nonce: bytes, text: bytes) -> bytes:
    """Encrypt, or decrypt: in counter mode both are the same."""
    return Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce)).encryptor().update(text)


def _mac(derived: bytes, nonce: bytes, text: bytes) -> bytes:
    pad = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor().update(nonce)  # noqa: S305 - one block
    return Poly1305.generate_tag(derived[48:64] + pad, text)
