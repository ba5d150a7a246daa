"""Evidence from a checker of the user's: what it expected, what it observed, and nothing of what it thinks of it.

Theory. The checker compares the target with the backup, subject by subject, and says both sides; whether they are equal is found
here. A digest of content is only believed as one where it is the plan's own, if the plan has it. Only items of the plan count
as checked; items that the checker is silent about leave the verdict open, as does a checker that was broken off.

Owns these rules. Refuses to read anything an execution reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proofgap.records import Check, CheckResult, Level
from proofgap_app.drivers.base import EvidenceReport, Plan, Progress
from proofgap_app.drivers.command_program import Answer, ask, program_of
from proofgap_app.drivers.command_protocol import Progress as HowFar
from proofgap_app.drivers.command_protocol import Said, Subject, Verb
from proofgap_app.drivers.evidence import passed_if, report_on

METHOD = "command: what the checker observed in the target against what it, or the plan, expects"
_CHECKER, _SCOPE = "(checker)", "(scope)"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def collect(plan: Plan, progress: Progress) -> EvidenceReport:
    """Have the target checked, and hold what is said against the plan."""
    program = program_of(plan.request, "checker" if "checker" in plan.request.options else "program")
    subjects: list[Subject] = []

    def hear(said: Said) -> None:
        match said:
            case Subject():
                subjects.append(said)
            case HowFar(bytes=size, items=items):
                progress(size, items)
            case _:
                pass

    answer = ask(
        program, Verb.CHECK, hear, keys=[item.key for item in plan.items if item.refused is None], marker=plan.marker
    )
    digests = {item.key: item.sha256 for item in plan.items}
    checks = [_check(said, digests.get(said.subject), program.tool({}).message) for said in subjects]
    compared = {check.subject for check in checks if check.result is not CheckResult.SKIPPED} & digests.keys()
    return report_on(
        [*checks, *_scope(plan, len(compared)), *_ending(answer)],
        subjects_checked=len(compared),
        expected_empty=plan.expects_nothing and plan.selected == 0,
        method=METHOD,
        producer=program.said,
    )


def _check(said: Subject, planned: str | None, message: Callable[[str], str]) -> Check:
    doubt = _doubt(said, planned)
    return Check(
        subject=said.subject,
        method=message(said.method),
        level=Level.L0 if doubt else said.level,
        result=CheckResult.SKIPPED if doubt else passed_if(said.expected == said.observed),
        expected=None if said.expected is None else message(said.expected),
        observed=doubt or (None if said.observed is None else message(said.observed)),
    )


def _doubt(said: Subject, planned: str | None) -> str | None:
    """Say why a comparison counts for nothing, if it does."""
    if said.expected is None or said.observed is None:
        return "not_compared"
    if said.level is Level.L0:
        return "an_exit_status_is_no_comparison"
    if said.level is Level.L5 and not _SHA256.fullmatch(said.expected):
        return "not_a_digest"
    if said.level is Level.L5 and planned not in {None, said.expected}:
        return "not_the_digest_of_the_plan"
    return None


def _scope(plan: Plan, compared: int) -> list[Check]:
    """Say how many items of the plan were compared; if not all, nobody knows about the others."""
    if compared == plan.selected:
        return []
    return [_skipped(_SCOPE, "items of the plan that were checked", f"{compared} of {plan.selected}")]


def _ending(answer: Answer) -> list[Check]:
    if answer.went_to_its_end and not answer.ended.exit_code and not answer.malformed and not answer.problems:
        return []
    said = "; ".join([*answer.problems, answer.how])
    return [_skipped(_CHECKER, "how the checker ended", said)]


def _skipped(subject: str, method: str, observed: str) -> Check:
    return Check(subject=subject, method=method, level=Level.L0, result=CheckResult.SKIPPED, observed=observed)
