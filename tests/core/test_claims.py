"""Claims: a closed set, in which the forbidden ones cannot be built."""

from __future__ import annotations

import msgspec
import pytest

from proofgap.claims import FORBIDDEN_CLAIMS, Claim, Claims


@pytest.mark.parametrize("phrase", [*FORBIDDEN_CLAIMS, "recovery verified", "Restored", ""])
def test_words_that_are_no_claim_cannot_become_one(phrase: str) -> None:
    """Neither as a claim, nor in a list of claims, nor through JSON."""
    with pytest.raises(ValueError, match="not a valid Claim"):
        Claim(phrase)
    with pytest.raises(ValueError, match="not a valid Claim"):
        Claims(allowed=(phrase,))  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"allowed": [phrase]}, Claims)


@pytest.mark.parametrize("forbidden", [(), FORBIDDEN_CLAIMS[:3], (*FORBIDDEN_CLAIMS, "Good"), FORBIDDEN_CLAIMS[::-1]])
def test_the_list_of_forbidden_claims_cannot_be_changed(forbidden: tuple[str, ...]) -> None:
    """Not emptied, not shortened, not extended, not reordered, by code or by JSON."""
    with pytest.raises(ValueError, match="cannot be changed"):
        Claims(allowed=(), forbidden=forbidden)
    with pytest.raises(msgspec.ValidationError, match="cannot be changed"):
        msgspec.convert({"allowed": [], "forbidden": forbidden}, Claims)


def test_a_decision_cannot_be_altered_afterwards() -> None:
    """Claims are immutable once built."""
    with pytest.raises(AttributeError):
        Claims(allowed=()).allowed = (Claim.EXECUTION_FAILED,)
