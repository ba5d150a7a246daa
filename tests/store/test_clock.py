"""What the store takes from its machine: ids that sort by the time they were made."""

from __future__ import annotations

from uuid import UUID

from proofgap_store.clock import new_id

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_an_id_is_a_uuid_version_7_in_base_32_and_sorts_by_the_time_it_was_made():
    made = [new_id("rr") for _ in range(100)]
    assert made == sorted(made)
    for text in made:
        number = 0
        for letter in text.removeprefix("rr_"):
            number = number * 32 + ALPHABET.index(letter)
        assert (len(text), UUID(int=number).version) == (29, 7)
