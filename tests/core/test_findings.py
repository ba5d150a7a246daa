"""What may be said of a run at its birth and of evidence, when it may be said, and what the checks make of it."""

from __future__ import annotations

import pytest

from proofgap.effects import refuse_foreign_findings, refuse_results_at_birth, summary
from proofgap.errors import BadInputError
from proofgap.facts import SnapshotEvent
from proofgap.records import Check, CheckResult, Level, RunDetails, SnapshotDetails, Verdict
from tests.core.test_effects import CHOSEN, SAMPLES, WANTED

FINDINGS = {
    "verdict": Verdict.MATCH,
    "level": Level.L5,
    "subjects_checked": 0,
    "expected_empty": True,
    "checks_total": 1,
    "checks_passed": 1,
    "checks_failed": 0,
    "checks_skipped": 0,
    "producer": "tar 1.35",
    "method": "sha256",
    "expires_at_us": 9,
    "content_sha256": "c" * 64,
}
TAKES = {
    "generate": {"method", "producer"},
    "activate": set(FINDINGS),
    "supersede": set(),
    "expire": set(),
    "fail": set(FINDINGS),
}


def checks_of(*results, level="L4"):
    """Give one check per result, each of a subject of its own."""
    return [Check(subject=str(n), method="m", level=Level(level), result=CheckResult(r)) for n, r in enumerate(results)]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_new_run_says_what_is_wanted_and_nothing_of_what_came_before_or_could_come_of_it(name):
    given = RunDetails(**{name: SAMPLES[name]})
    if name in WANTED | CHOSEN:
        refuse_results_at_birth(given)
        return
    with pytest.raises(BadInputError) as caught:
        refuse_results_at_birth(given)
    assert (caught.value.field, caught.value.problem) == (name, "does not belong to a new run")


@pytest.mark.parametrize("event", SnapshotEvent)
def test_what_a_snapshot_found_is_taken_when_it_is_finished_and_never_before_or_after(event):
    assert set(FINDINGS) == set(SnapshotDetails.__struct_fields__)
    refuse_foreign_findings(event, SnapshotDetails())
    for name, value in FINDINGS.items():
        found = SnapshotDetails(**{name: value})
        if name in TAKES[event]:
            refuse_foreign_findings(event, found)
            continue
        with pytest.raises(BadInputError) as caught:
            refuse_foreign_findings(event, found)
        takes = ", ".join(sorted(TAKES[event])) or "no facts"
        assert (caught.value.field, caught.value.remedy) == (name, f"It takes: {takes}.")


@pytest.mark.parametrize(("said", "stored"), [(None, 2), (0, 0), (1, 1), (2, 2), (3, 2), (900, 2)])
def test_no_more_subjects_were_checked_than_were_compared_but_fewer_may_be_said(said, stored):
    found = summary(SnapshotDetails(subjects_checked=said), checks_of("passed", "failed", "skipped"))
    assert found.subjects_checked == stored


@pytest.mark.parametrize("name", ["checks_total", "checks_passed", "checks_failed", "checks_skipped"])
@pytest.mark.parametrize("results", [(), ("passed",)])
def test_numbers_of_checks_are_counted_and_taken_from_nobody_even_where_they_are_right(name, results):
    with pytest.raises(BadInputError) as caught:
        summary(SnapshotDetails(**{name: len(results)}), checks_of(*results))
    assert (caught.value.field, caught.value.remedy) == (name, "Hand in the checks.")


VERDICTS = {
    ("passed",): "match",
    ("skipped",): "inconclusive",
    ("passed", "skipped"): "inconclusive",
    ("passed", "failed"): "mismatch",
    ("skipped", "failed"): "mismatch",
}


@pytest.mark.parametrize(("results", "verdict"), VERDICTS.items(), ids=map("-".join, VERDICTS))
def test_the_verdict_follows_from_the_checks_where_nobody_said_it(results, verdict):
    assert summary(SnapshotDetails(), checks_of(*results)).verdict == verdict


@pytest.mark.parametrize("results", [("failed",), ("passed", "failed")])
def test_checks_that_failed_are_no_match_and_every_other_verdict_stands(results):
    with pytest.raises(BadInputError) as caught:
        summary(SnapshotDetails(verdict=Verdict.MATCH), checks_of(*results))
    assert (caught.value.field, caught.value.remedy) == ("verdict", "Say mismatch.")
    for verdict in (Verdict.MISMATCH, Verdict.INCONCLUSIVE):
        assert summary(SnapshotDetails(verdict=verdict), checks_of(*results)).verdict is verdict


@pytest.mark.parametrize("said", [None, *Level])
@pytest.mark.parametrize("looked", Level)
def test_evidence_is_as_deep_as_its_deepest_check_or_says_that_it_is_less_deep_and_never_deeper(said, looked):
    checks = checks_of("passed", level=looked) + checks_of("failed", level="L0") + checks_of("skipped", level="L6")
    if said is not None and said > looked:
        with pytest.raises(BadInputError) as caught:
            summary(SnapshotDetails(level=said), checks)
        assert caught.value.field == "level"
        return
    assert summary(SnapshotDetails(level=said), checks).level is (said or looked)


def test_checks_that_were_all_skipped_looked_at_nothing():
    assert summary(SnapshotDetails(), checks_of("skipped", level="L6")).level is None
    with pytest.raises(BadInputError):
        summary(SnapshotDetails(level=Level.L1), checks_of("skipped", level="L6"))
