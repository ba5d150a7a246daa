"""The words of every decision against the contract's own text, copied here letter for letter and read as it stands."""

from __future__ import annotations

import re

import pytest

from tests.core.fact_lines import EVERY_STATUS, ONE_OF_EACH, Row, decided, usual_line

CONTRACT = """\
### 1) Not Executed (Draft / Preview Only)

- **State**: `not_executed`
- **Visible status**: Not executed
- **Reason**: This record proves preview truth, not environment recovery.
- **Impact**: No execution proof or post-run evidence exists yet.
- **Primary next action**: Review preview / continue preparation (contextual to available actions)
- **Operation proof state**: Unavailable
- **Post-run evidence state**: Unavailable
- **Result summary**:
- If `restore_runs.metadata` has counts: show them
- Otherwise: show "Result summary unavailable" (no fake zeros)
- **Allowed proof claims**: "Preview evidence exists" (never "recovery verified")
- **Diagnostics default**: Collapsed

### 2) Execution In Progress (Queued / Running)

- **State**: `in_progress`
- **Visible status**: Execution in progress
- **Reason**: Restore execution is currently running.
- **Impact**: Results and evidence are not final yet.
- **Primary next action**: View operation progress
- **Operation proof state**: In progress
- **Post-run evidence state**: Unavailable
- **Result summary**: show only repo-backed partial counts (if present); otherwise show "In progress"
- **Allowed proof claims**: "Execution in progress" only
- **Diagnostics default**: Collapsed

### 3) Completed (Recovery Proof Incomplete)

- **State**: `completed_proof_incomplete`
- **Visible status**: Completed, recovery proof incomplete
- **Reason**: Execution completed, but post-run evidence is not available yet.
- **Impact**: Do not treat this restore as verified recovery until evidence has been reviewed.
- **Primary next action**: Open operation proof when authorized proof exists; otherwise Review proof gap
- **Operation proof state**: Available if a scoped authorized operation run exists, otherwise Unavailable for \
legacy/imported rows
- **Post-run evidence state**: Unavailable
- **Result summary**: repo-backed counts from `restore_runs.metadata` when present
- **Allowed proof claims**: "Execution proof available" (never "recovery verified")
- **Diagnostics default**: Collapsed

### 4) Completed (Evidence Available)

- **State**: `completed_with_evidence`
- **Visible status**: Completed with evidence available
- **Reason**: Execution proof and post-run evidence are available.
- **Impact**: Review evidence before treating the restore as recovery proof.
- **Primary next action**: Open evidence
- **Operation proof state**: Available
- **Post-run evidence state**: Available
- **Result summary**: repo-backed counts from `restore_runs.metadata`
- **Allowed proof claims**:
- allowed: "Evidence snapshot available"
- forbidden: "Recovery verified", "Healthy", "Compliant", "Customer-safe"
- **Diagnostics default**: Collapsed

### 5) Completed With Items Needing Review (Partial / Follow-Up)

- **State**: `needs_review`
- **Visible status**: Completed with items needing review
- **Reason**: Some items were skipped, partially applied, or failed.
- **Impact**: Review item outcomes before relying on the result.
- **Primary next action**: Review item outcomes
- **Operation proof state**: Available (if `operation_run_id` exists), otherwise Unavailable
- **Post-run evidence state**: Available/Unavailable (repo-backed only; never implied)
- **Result summary**: show repo-backed counts (failed/skipped/partial/non_applied) when present
- **Allowed proof claims**: "Follow-up required" / "Skipped items exist" etc (no recovery claims)
- **Diagnostics default**: Collapsed

### 6) Failed

- **State**: `failed`
- **Visible status**: Restore failed
- **Reason**: The restore did not complete successfully.
- **Impact**: Some requested changes may not have been applied.
- **Primary next action**: Review failure details
- **Operation proof state**: Available (if `operation_run_id` exists); otherwise Unavailable
- **Post-run evidence state**: Unavailable (unless repo truth indicates otherwise)
- **Result summary**: show repo-backed counts when present; otherwise show "Failure details required"
- **Allowed proof claims**: "Execution failed" only; never "recovery verified"
- **Diagnostics default**: Collapsed

### 7) Cancelled / Blocked

- **State**: `blocked_or_cancelled`
- **Visible status**: Restore blocked / cancelled
- **Reason**: Restore did not execute due to cancellation or blocker.
- **Impact**: No recovery proof exists.
- **Primary next action**: Review blocker
- **Operation proof state**: Available (if operation run exists); otherwise Unavailable
- **Post-run evidence state**: Unavailable
- **Result summary**: show "Unavailable" unless repo-backed
- **Allowed proof claims**: none beyond the above
- **Diagnostics default**: Collapsed
"""


def parsed(contract: str) -> dict[str, dict[str, str]]:
    """Read the contract: for each state, the text of each field."""
    sections = [re.findall(r"\*\*(.+?)\*\*: ?(.*(?:\n- [^*].*)*)", part) for part in contract.split("###")[1:]]
    return {fields[0][1].strip("`"): dict(fields) for fields in sections}


FIELDS = parsed(CONTRACT)


def quoted(text: str) -> list[str]:
    """Give the words in quotes that may be said: those after "never" or "forbidden" may not."""
    return re.findall('"(.+?)"', re.split("never|forbidden", text)[0])


@pytest.mark.parametrize("state", FIELDS)
def test_status_reason_and_impact_are_the_contracts_exact_strings(state: str) -> None:
    """Not a letter differs."""
    decision, fields = decided(ONE_OF_EACH[state]), FIELDS[state]
    said = decision["state"], decision["status"], decision["reason"], decision["impact"]
    assert said == (state, fields["Visible status"], fields["Reason"], fields["Impact"])


def test_the_contract_has_the_seven_states_and_each_is_decided_somewhere() -> None:
    """The copy of the contract is whole."""
    assert list(FIELDS) == list(ONE_OF_EACH)
    assert {len(fields) for fields in FIELDS.values()} == {10}


def every_line() -> list[Row]:
    """Give each state, each status with a dry run and without, and each with the operation run hidden."""
    runs = [usual_line(status=status, is_dry_run=dry) for status in EVERY_STATUS for dry in (False, True)]
    lines = [*ONE_OF_EACH.values(), *runs, usual_line(status="partial", counts={"skipped": 1})]
    return [line | {"viewer": {"id": "v", "may_view": may}} for line in lines for may in ([], ["o1", "s1"])]


def test_every_next_action_is_named_by_the_contract_and_every_named_one_is_given() -> None:
    """Nine actions: one per state, and a second where the contract names two."""
    given = {(decision["state"], decision["primary_next_action"]) for decision in map(decided, every_line())}
    assert all(action.lower() in FIELDS[state]["Primary next action"].lower() for state, action in given)
    assert len(given) == len(FIELDS) + 2


@pytest.mark.parametrize("state", FIELDS)
def test_a_state_makes_exactly_the_claims_the_contract_quotes(state: str) -> None:
    """All that is quoted as allowed can be said, and nothing else is."""
    decisions = [decision for decision in map(decided, every_line()) if decision["state"] == state]
    said = {claim for decision in decisions for claim in decision["claims"]["allowed"]}
    assert said == set(quoted(FIELDS[state]["Allowed proof claims"]))


def test_the_forbidden_claims_are_the_contracts() -> None:
    """Word for word and in its order."""
    forbidden = FIELDS["completed_with_evidence"]["Allowed proof claims"].split("forbidden: ")[1]
    for line in every_line():
        assert decided(line)["claims"]["forbidden"] == re.findall('"(.+?)"', forbidden)


@pytest.mark.parametrize("state", FIELDS)
def test_a_summary_without_counts_says_the_contracts_words(state: str) -> None:
    """Where the contract quotes no words for a state, those of the first state hold."""
    words = quoted(FIELDS[state]["Result summary"]) or quoted(FIELDS["not_executed"]["Result summary"])
    assert [decided(ONE_OF_EACH[state])["result_summary"]["text"]] == words


@pytest.mark.parametrize("state", FIELDS)
def test_the_labels_of_proof_and_evidence_begin_the_contracts_sentence(state: str) -> None:
    """Available, In progress or Unavailable, as the contract says for a run with and without a linked operation."""
    decision, fields = decided(ONE_OF_EACH[state]), FIELDS[state]
    assert decision["operation_proof"]["label"] in re.split(r"[ ;](?:if|\()", fields["Operation proof state"])[0]
    assert decision["evidence"]["label"] in fields["Post-run evidence state"]


@pytest.mark.parametrize("state", FIELDS)
def test_diagnostics_start_as_the_contract_says(state: str) -> None:
    """Collapsed, in every state."""
    assert decided(ONE_OF_EACH[state])["diagnostics_default"] == FIELDS[state]["Diagnostics default"].lower()
