"""How a ledger comes into being, and what its administrators do: grants, environments.

Owns the first events of a ledger, and what admins may change. Refuses to know restores, how a schema comes to be
(`schema`), and how a ledger is (`health`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from proofgap.access import ANY_ENVIRONMENT, Action, Place, Role, authorize, is_token
from proofgap.admission import known
from proofgap.audit import Actor, EventType, system_stream
from proofgap.errors import BadInputError
from proofgap.notes import VerifierKey
from proofgap.records import Machine
from proofgap.text import check_id
from proofgap_store import keys
from proofgap_store.audit_log import Draft, head_of, link
from proofgap_store.clock import new_id, now_us, operating_system_user
from proofgap_store.custody import Custody
from proofgap_store.documents import definition, definition_draft
from proofgap_store.engine import Connection, UnavailableError, rows
from proofgap_store.expiry import check_valid
from proofgap_store.gate import Gate, Writing
from proofgap_store.keys import KeyFile
from proofgap_store.outside import CustodyError
from proofgap_store.procrastination import ProcrastinateDispatcher
from proofgap_store.read import grants, roles
from proofgap_store.schema import REVISION, migrate, of_another_version, revision
from proofgap_store.transitions import Call

DEFAULT_SCOPE = ("default", "local")


class Rules(NamedTuple):
    """What an environment asks of its restores; ``None`` is not said."""

    approvals_required: int | None = None  # how many other people must approve a run before it is queued
    evidence_valid_us: int | None = None  # how long evidence counts after its capture, in microseconds


_NO_RULES = Rules(approvals_required=0)
_APPROVALS_MAX = 100
_LEDGER = system_stream("ledger")
_RULES = """
SELECT e.approvals_required, CAST(d.payload ->> '$.data.evidence_valid_us' AS BIGINT) AS evidence_valid_us
FROM environment AS e JOIN audit_event AS d ON d.event_id = e.last_event_id
WHERE e.workspace = :workspace AND e.id = :environment
"""
_KNOWN = "SELECT id FROM environment WHERE workspace = :workspace"
_WITHOUT_OTHER_ADMIN = """
SELECT id FROM environment AS e
WHERE workspace = :workspace AND :environment IN (id, :any) AND NOT EXISTS (
  SELECT 1 FROM access_grant AS g
  WHERE g.workspace = e.workspace AND g.environment IN (e.id, :any) AND g.role = 'admin' AND g.active = 1
    AND (g.principal, g.environment) <> (:principal, :environment))
ORDER BY id LIMIT 1
"""
_IN_FORCE = """
SELECT machine, definition FROM machine_definition AS d
WHERE last_event_id = (SELECT max(last_event_id) FROM machine_definition WHERE machine = d.machine)
"""


def set_up(gate: Gate, *, create: bool, owner: str | None, key: Path | None, head: Path | None) -> Custody:
    """Bring a ledger to where it can be used; give what belongs to it outside its database. The gate is shut if not.

    Raises:
        UnavailableError: there is no ledger and none may be created, or what is there is none.

    """
    try:
        log = _prepare(gate, create=create)
        if gate.is_on_server:
            gate.dispatcher = ProcrastinateDispatcher(str(gate.url))
        custody = Custody.of(gate, log, key=key, head=head)
        _begin(gate, custody.key_file, log, owner)
        name = gate.read(keys.log_name)
    except BaseException:
        gate.engine.dispose()
        raise
    if name is not None and name != log:  # another process was faster, and named the log
        return Custody.of(gate, name, key=key, head=head)
    return custody


def _prepare(gate: Gate, *, create: bool) -> str:
    """Bring the schema to where it can be used; give the name of the log, a new one for a new log."""
    if not create and gate.file is not None and not gate.file.exists():
        raise UnavailableError(f"there is none at {gate.file}", "Make one with: proofgap init.")
    _bring_up(gate, gate.read(revision), create=create)
    return gate.read(keys.log_name) or f"proofgap/{new_id('log')}"


def _begin(gate: Gate, key_file: KeyFile, log: str, owner: str | None) -> None:
    """Write what every log begins with, where it is missing: machine definitions, a first key, an owner.

    A key that another process put in force meanwhile is no key of another log.
    """
    gate.read(gate.guards)
    try:
        gate.write(lambda connection: _first_events(connection, key_file, log, owner))
    except CustodyError:
        if not gate.read(keys.history):
            raise
        gate.write(lambda connection: _first_events(connection, key_file, log, owner))


def _bring_up(gate: Gate, found: str | None, *, create: bool) -> None:
    """Make the schema of a new ledger; an older one is brought up on demand only, a newer one not at all."""
    if found == REVISION:
        return
    if found is not None:
        raise of_another_version(found)
    if not create:
        raise UnavailableError("there is no ledger yet", "Make one with: proofgap init.")
    migrate(gate.engine, None)


def _first_events(connection: Connection, key_file: KeyFile, log: str, owner: str | None) -> Writing[None] | None:
    """Put the machines' definitions and a first key in force, where they are not; give a new ledger its owner."""
    in_force = {row["machine"]: row["definition"] for row in rows(connection, _IN_FORCE)}
    missing = [machine for machine in Machine if in_force.get(machine) != definition(machine)]
    is_keyless = not keys.history(connection)
    if not missing and not is_keyless:
        return None
    _refuse_older_law(connection, missing)
    actor = Actor(id=owner or operating_system_user())
    drafts = [definition_draft(machine) for machine in missing]
    if not in_force:
        drafts += opening(DEFAULT_SCOPE, actor.id)
    first_key = [_first_key_draft(key_file, log)] if is_keyless else []
    now = now_us()
    events = [
        *link(head_of(connection, _LEDGER), drafts, actor, now, now),
        *link(head_of(connection, keys.AUDIT_STREAM), first_key, actor, now, now),
    ]
    return Writing(events=events, answer=lambda _written: _settle_first_key(first_key, key_file))


def _first_key_draft(key_file: KeyFile, log: str) -> Draft:
    """Give the event that puts the first key in force; its name is the name of the log for ever."""
    return keys.rotation_draft(key_file.propose(log, None).verifier, None, None)


def _settle_first_key(drafts: Sequence[Draft], key_file: KeyFile) -> None:
    """Give the first key its place; a crash before this: whoever signs first does it."""
    for draft in drafts:
        key_file.found(VerifierKey.parse(draft.data["key"]))


def _refuse_older_law(connection: Connection, missing: Sequence[Machine]) -> None:
    known = {row["definition"] for row in rows(connection, "SELECT definition FROM machine_definition")}
    if any(definition(machine) in known for machine in missing):
        raise UnavailableError(
            "a newer definition of its machines is in force", "Use the newer version of proofgap that put it there."
        )


def granting(
    connection: Connection, grant: tuple[str, Role, bool], scope: tuple[str, str], call: Call
) -> Writing[int] | int:
    """Compute the event of a grant, or of its revocation; only an admin of the scope may."""
    principal, role, revoke = check_id("principal", grant[0]), known(Role, "role", grant[1]), grant[2]
    check_scope(scope)
    demand_admin(call.actor.id, roles_over(connection, call.actor.id, scope), scope)
    if is_token(principal):
        remedy = "Make a token with other roles, and revoke this one."
        raise BadInputError("principal", f"{principal!r} is a token, whose roles are those it was made with", remedy)
    if revoke and role is Role.ADMIN:
        _demand_another_admin(connection, principal, scope)
    draft = grant_draft(principal, role, scope, EventType.ACCESS_REVOKED if revoke else EventType.ACCESS_GRANTED)
    return system_writing(connection, [draft], call)


def _demand_another_admin(connection: Connection, principal: str, scope: tuple[str, str]) -> None:
    """Refuse to take away the grant without which nobody would administer an environment; one for ``*`` counts in each."""
    found = rows(
        connection,
        _WITHOUT_OTHER_ADMIN,
        workspace=scope[0],
        environment=scope[1],
        principal=principal,
        any=ANY_ENVIRONMENT,
    )
    if found:
        problem = f"{principal!r} is the last admin of {scope[0]}/{found[0]['id']}"
        raise BadInputError("principal", problem, "Make somebody else an admin there first.")


def check_scope(scope: tuple[str, str]) -> None:
    """Hold a scope to its form: a workspace, and an environment or ``*``.

    Raises:
        BadInputError: it is no such pair.

    """
    if type(scope) is not tuple or len(scope) != len(DEFAULT_SCOPE):
        raise BadInputError("scope", "is no pair of workspace and environment", "Hand in a tuple of two texts.")
    check_id("workspace", scope[0])
    check_id("environment", scope[1])


def roles_over(connection: Connection, principal: str, scope: tuple[str, str]) -> frozenset[Role]:
    """Read the roles held in a scope; over all environments of a workspace, those held in each of them."""
    held = roles(connection, principal, *scope)
    if scope[1] != ANY_ENVIRONMENT or held:
        return held
    each = [roles(connection, principal, scope[0], row["id"]) for row in rows(connection, _KNOWN, workspace=scope[0])]
    return frozenset.intersection(*each) if each else frozenset()


def declaring(connection: Connection, scope: tuple[str, str], rules: Rules, call: Call) -> Writing[int] | int:
    """Compute the events of an environment's declaration; a new one gets whoever declares it as its first admin.

    What is not said stays as it is.
    """
    check_scope(scope)
    approvals = rules.approvals_required
    if approvals is not None and (type(approvals) is not int or not 0 <= approvals <= _APPROVALS_MAX):
        raise BadInputError("approvals_required", f"{approvals!r} is out of range", "Use 0 to 100.")
    check_valid(rules.evidence_valid_us)
    drafts = [_environment_draft(scope, _completed(connection, scope, rules))]
    if not may_administer(connection, scope, call.actor.id):
        drafts.append(grant_draft(call.actor.id, Role.ADMIN, scope))
    return system_writing(connection, drafts, call)


def _completed(connection: Connection, scope: tuple[str, str], rules: Rules) -> Rules:
    found = rows(connection, _RULES, workspace=scope[0], environment=scope[1])
    before = Rules(found[0]["approvals_required"], found[0]["evidence_valid_us"]) if found else _NO_RULES
    return Rules(*(old if new is None else new for old, new in zip(before, rules, strict=True)))


def may_administer(connection: Connection, scope: tuple[str, str], principal: str) -> bool:
    """Let an admin of an environment through, and tell whether it is there already.

    A new environment may be opened by an admin of any in its workspace, a new workspace by an admin of any workspace.

    Raises:
        NotFoundError, ForbiddenError: they may not.

    """
    known = rows(connection, _KNOWN, workspace=scope[0])
    is_known = any(row["id"] == scope[1] for row in known)
    if is_known:
        held = roles(connection, principal, *scope)
    else:
        found = grants(connection, principal).items()
        held = frozenset(role for place, held in found if place[0] == scope[0] or not known for role in held)
    demand_admin(principal, held, scope)
    return is_known


def demand_admin(principal: str, held: frozenset[Role], scope: tuple[str, str]) -> None:
    """Let an admin of a scope through. Raises as `authorize` does."""
    authorize(principal, held, Action.ADMINISTER, ("environment", "/".join(scope)), Place(*scope))


def opening(scope: tuple[str, str], admin: str) -> list[Draft]:
    """Give the events by which an environment comes into being, with its first admin."""
    return [_environment_draft(scope, _NO_RULES), grant_draft(admin, Role.ADMIN, scope)]


def system_writing(connection: Connection, drafts: Sequence[Draft], call: Call) -> Writing[int]:
    """Put events at the end of the ledger's own stream; the number of the first is the answer."""
    events = link(head_of(connection, _LEDGER), drafts, call.actor, call.at_us, call.rec_us)
    return Writing(events=events, answer=lambda written: written[0].event_id)


def grant_draft(
    principal: str, role: Role, scope: tuple[str, str], kind: EventType = EventType.ACCESS_GRANTED
) -> Draft:
    """Give the event of a grant, or of its revocation."""
    environment = None if scope[1] == "*" else scope[1]
    return Draft(kind, scope[0], environment, None, None, {"principal": principal, "role": role})


def _environment_draft(scope: tuple[str, str], rules: Rules) -> Draft:
    """Give the event of a declaration. ``*`` is no environment: whoever administered it would administer them all."""
    if scope[1] == ANY_ENVIRONMENT:
        raise BadInputError("environment", "'*' means all environments", "Name one.")
    data = {name: value for name, value in rules._asdict().items() if value is not None}
    return Draft(EventType.ENVIRONMENT_DECLARED, *scope, None, None, data)
