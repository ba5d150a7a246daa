"""What the store takes from the machine it runs on: the time, new ids, and whose process it is.

The only place that asks. Everything else is handed these values.
"""

from __future__ import annotations

import os
import pwd
import time
from base64 import urlsafe_b64encode

from uuid_utils import uuid7

_SALT_BYTES = 16
_SECRET_BYTES = 32
_SUFFIX_BYTES = 5
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no letter that reads like a digit
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def now_us() -> int:
    """Give the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def new_event_id() -> str:
    """Give a new UUIDv7 (RFC 9562), for an audit event."""
    return str(uuid7())


def new_id(prefix: str) -> str:
    """Give a new id that sorts by time of creation, such as ``rr_01KB2M95QF7T3ZC8H...``: a UUIDv7 in base 32."""
    number = int(uuid7())
    return f"{prefix}_" + "".join(_PAIRS[number >> shift & 1023] for shift in range(120, -10, -10))


def new_salt() -> str:
    """Give a new salt for a commitment: 128 random bits, in hex."""
    return os.urandom(_SALT_BYTES).hex()


def new_secret(prefix: str) -> str:
    """Give a new secret of 256 random bits that whoever finds it can tell apart by its prefix."""
    return prefix + urlsafe_b64encode(os.urandom(_SECRET_BYTES)).decode().rstrip("=")


def new_suffix() -> str:
    """Give 40 random bits, in hex: what makes one name another than the one before."""
    return os.urandom(_SUFFIX_BYTES).hex()


def display_name() -> str | None:
    """Give how the user that this process runs as is called, by the system's user database; ``None``: it does not say."""
    try:
        found = pwd.getpwuid(os.geteuid())
    except KeyError:
        return None
    name = found.pw_gecos.partition(",")[0].strip()
    return None if name in {"", found.pw_name} else name


def operating_system_user() -> str:
    """Give the name of the user that this process runs as; a number where the user has no name.

    It is asked of the system, not of ``LOGNAME``: a log that says who did something should not take it from a
    variable that anybody can set.
    """
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
