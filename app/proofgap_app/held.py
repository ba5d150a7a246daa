"""What is said of an environment that stays held after its run has ended, and what to do about it: the words, no logic.

Refuses to know when that is so (`proofgap_store.environments`). Source: ``docs/fleet.md``, "An environment that is held".
"""

from __future__ import annotations

from shlex import quote

STILL_HELD = (
    "Still held: its worker was lost, and the tool may go on writing. Nothing starts there until somebody has looked. "
    "See that none is at work; then:"
)


def how_to_release(place: str) -> str:
    """Give the command that releases an environment, which is named as WORKSPACE/ENVIRONMENT."""
    return f"proofgap queue release {quote(place)}"
