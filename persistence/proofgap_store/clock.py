"""The store's clock and its source of ids: the only place that reads either.

Owns how time and ids are written. Everything else is handed them.
"""

from __future__ import annotations

import time

from uuid_utils import uuid7

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no letter that reads like a digit


def now_us() -> int:
    """Give the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def new_event_id() -> str:
    """Give a new UUIDv7 (RFC 9562), for an audit event."""
    return str(uuid7())


def new_id(prefix: str) -> str:
    """Give a new id that sorts by time of creation, such as ``rr_01KB2M95QF7T3ZC8H...``: a UUIDv7 in base 32."""
    number = int(uuid7())
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))
