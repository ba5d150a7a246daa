"""How one key takes the place of another: the old one signs a text that names the new one.

Owns that text. Refuses to know where keys are kept, and what they sign besides.
"""

from __future__ import annotations

from proofgap.errors import MalformedError, SignatureError, UnknownKeyError
from proofgap.notes import VerifierKey, parse_note, verify_note


def endorsement_text(new: VerifierKey) -> str:
    """Give what the old key signs when a new one takes its place."""
    return f"proofgap key rotation\n{new.name}\n{new.text}\n"


def is_endorsed(new: VerifierKey, previous: VerifierKey, endorsement: str) -> bool:
    """Tell whether a signed note is the old key's word for the new one."""
    try:
        note = parse_note(endorsement)
        verify_note(note, [previous])
    except (MalformedError, SignatureError, UnknownKeyError):
        return False
    return note.text == endorsement_text(new)
