"""The seam between the ledger and whoever traces it: one function that is called around each transition.

Without one, nothing is called. Owns what is said of a transition before it is carried out. Refuses to know any tracer,
and to hand out more than ids and names of the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proofgap_store.shapes import Receipt


class Attempted(NamedTuple):
    """What is tried: an event on a run, or on what ``subject`` names, such as its evidence; a new run has no id yet."""

    event: str
    run: str | None
    subject: str | None


Act = Callable[[], Receipt]
"""Carries a transition out: the reading, the writing, and the record of a refusal."""

Tracer = Callable[[Attempted, Act], Receipt]
"""Calls what carries a transition out, once; gives what that gives, and raises what that raises."""


def traced(tracer: Tracer | None, attempted: Attempted, act: Act) -> Receipt:
    """Carry a transition out, and let a tracer look on where there is one."""
    return act() if tracer is None else tracer(attempted, act)
