"""Who may do what in the database of a ledger on PostgreSQL: five roles, and exactly the rights that each needs.

Group roles that nobody logs in as; whoever logs in is a member of one or more. What each may do is a table here, and
the script that grants it and the comparison with what is granted both follow from the table. A right that a role has
beyond it is a difference like one that it lacks. Owns these rights. Refuses to know what the tables hold, and which
rows are whose (policies of the schema, ``0005_roles`` and ``0006_places``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from proofgap.facts import Struct
from proofgap_store.engine import Connection, Row, rows
from proofgap_store.queue_schema import QUEUE

OWNER, APP, SEQUENCER, AUDITOR, PRIVACY = (
    "proofgap_owner",
    "proofgap_app",
    "proofgap_sequencer",
    "proofgap_auditor",
    "proofgap_privacy",
)
ROLES: Mapping[str, str] = {
    OWNER: "owns the tables; brings the schema up, puts guards right, prunes",
    APP: "appends to the log and reads; changes and deletes nothing",
    SEQUENCER: "signs the tree over the log: leaves, nodes, checkpoints; reads no names, notes, runs or grants",
    AUDITOR: "reads",
    PRIVACY: "erases names and notes, and appends the event that says so",
}
"""Table: role, and what it is for."""

_PUBLIC = "PUBLIC"
_EVENTS = "audit_event"
_EVENT_INSERT = "INSERT (leaf, payload)"
_TREE = ("audit_leaf", "audit_node", "audit_checkpoint")
_SIGNED = (_EVENTS, "audit_unsequenced", *_TREE)
_SCHEMA = ("machine_definition", "alembic_version")
_ERASED = (
    _EVENTS,
    "audit_private",
    "audit_stream",
    "audit_leaf",
    "access_grant",
    "environment",
    "restore_run",
    "worker",
    *_SCHEMA,
)
_KEPT_BESIDE = ("audit_private", "result_item", "evidence_check", "receipt")
_APP: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((table, ("INSERT",)) for table in _KEPT_BESIDE),
    ("environment", ("UPDATE (last_event_id)",)),  # to lock a row: whoever claims a run takes its environment
    ("worker_lease", ("UPDATE (beat_at_us)",)),
    ("access_token_use", ("INSERT", "UPDATE (used_at_us)")),
    ("access_session", ("INSERT", "UPDATE (seen_at_us)", "DELETE")),
    ("access_link", ("INSERT", "DELETE")),
)
"""Table: what an app does beside the log; guards say when. No more of it is a record of anything."""


class Right(NamedTuple):
    """One right: who has it, on which table, and what it is."""

    role: str
    table: str
    privilege: str


class RoleCheck(Struct):
    """How the rights in a database differ from those that ought to be.

    ``powers`` is what the user who asked could do past every guard; a worker's user can do nothing of it.
    """

    user: str
    powers: tuple[str, ...]
    missing: tuple[str, ...]
    excess: tuple[str, ...]


_TABLES = """
SELECT c.relname AS name FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('proofgap') AND c.relkind IN ('r', 'v', 'p') ORDER BY c.relname
"""
_GRANTED = """
SELECT coalesce(r.rolname, 'PUBLIC') AS role, c.relname AS name, a.privilege_type AS privilege
FROM pg_class AS c, aclexplode(c.relacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE c.relnamespace = to_regnamespace('proofgap') AND c.relkind IN ('r', 'v', 'p', 'S')
  AND a.grantee <> c.relowner
UNION ALL
SELECT coalesce(r.rolname, 'PUBLIC'), c.relname,
  a.privilege_type || ' (' || string_agg(t.attname, ', ' ORDER BY t.attname) || ')'
FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE c.relnamespace = to_regnamespace('proofgap') AND a.grantee <> c.relowner
GROUP BY 1, c.relname, a.privilege_type
"""
_QUEUE_RIGHTS = (
    f"ALTER SCHEMA {QUEUE} OWNER TO {OWNER}",
    f"GRANT USAGE ON SCHEMA {QUEUE} TO {APP}",
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {QUEUE} TO {APP}",
    f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {QUEUE} TO {APP}",
)
_OWNED_BY_OTHERS = """
SELECT c.relname AS name FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('proofgap') AND c.relkind IN ('r', 'v', 'p', 'S')
  AND pg_get_userbyid(c.relowner) <> :owner
UNION ALL
SELECT p.oid::regprocedure::text FROM pg_proc AS p
WHERE p.pronamespace = to_regnamespace('proofgap') AND pg_get_userbyid(p.proowner) <> :owner
UNION ALL
SELECT 'the schema' FROM pg_namespace WHERE nspname = 'proofgap' AND pg_get_userbyid(nspowner) <> :owner
ORDER BY 1
"""
_HANGABLE = """
SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p
WHERE p.pronamespace = to_regnamespace('proofgap') AND p.prosecdef AND p.prorettype = 'trigger'::regtype
  AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1
"""
_ENTRY = """
SELECT coalesce(r.rolname, 'PUBLIC') AS role, a.privilege_type AS privilege
FROM pg_namespace AS n, aclexplode(n.nspacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE n.nspname = 'proofgap' AND a.grantee <> n.nspowner
"""
_KNOWN = "SELECT rolname AS role, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = ANY (:roles)"
_POWERS = """
SELECT current_user AS name, rolsuper, rolbypassrls,
  EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('proofgap') AND pg_has_role(relowner, 'USAGE')) AS owns
FROM pg_roles WHERE rolname = current_user
"""
_TOO_MUCH = {
    "rolsuper": "is a superuser",
    "rolbypassrls": "passes the security of rows (BYPASSRLS)",
    "owns": "owns tables of the ledger",
}


def powers(connection: Connection) -> tuple[str, ...]:
    """Say why the user of this connection could switch the guards off; nothing, where they could not."""
    found = rows(connection, _POWERS)[0]
    return tuple(f"{found['name']} {text}" for name, text in _TOO_MUCH.items() if found[name])


def check(connection: Connection) -> RoleCheck:
    """Compare the rights that are granted with those that ought to be."""
    user = rows(connection, "SELECT current_user AS name")[0]["name"]
    wanted, found = set(_wanted(_tables(connection))), set(_granted(connection))
    missing = [*_unknown(connection), *map(_told, sorted(wanted - found))]
    excess = [*_excessive(connection), *map(_told, sorted(found - wanted))]
    return RoleCheck(user=user, powers=powers(connection), missing=tuple(missing), excess=tuple(excess))


def _told(right: Right) -> str:
    return f"{right.role}: {right.privilege} on {right.table}"


def _tables(connection: Connection) -> list[str]:
    return [row["name"] for row in rows(connection, _TABLES)]


def _wanted(tables: list[str]) -> Iterator[Right]:
    """Give every right that there ought to be."""
    yield from (Right(role, "the schema", "USAGE") for role in ROLES if role != OWNER)
    for role, read in {APP: tables, AUDITOR: tables, SEQUENCER: (*_SIGNED, *_SCHEMA), PRIVACY: _ERASED}.items():
        yield from (Right(role, table, "SELECT") for table in read)
    yield from (Right(role, _EVENTS, _EVENT_INSERT) for role in (APP, PRIVACY))
    yield from (Right(APP, table, privilege) for table, privileges in _APP for privilege in privileges)
    yield from (Right(SEQUENCER, table, "INSERT") for table in _TREE)
    yield Right(SEQUENCER, "audit_unsequenced", "DELETE")
    yield from (Right(PRIVACY, "audit_private", privilege) for privilege in ("INSERT", "DELETE"))


def _granted(connection: Connection) -> Iterator[Right]:
    yield from (Right(row["role"], "the schema", row["privilege"]) for row in rows(connection, _ENTRY))
    yield from (Right(row["role"], row["name"], row["privilege"]) for row in rows(connection, _GRANTED))


def _unknown(connection: Connection) -> list[str]:
    known = {row["role"] for row in _known(connection)}
    return [f"{role}: there is no such role" for role in ROLES if role not in known]


def _known(connection: Connection) -> list[Row]:
    return rows(connection, _KNOWN, roles=list(ROLES))


def _excessive(connection: Connection) -> Iterator[str]:
    """Name what is not a right on a table, and is too much all the same."""
    flags = {"rolcanlogin": "can log in", "rolsuper": "is a superuser", "rolbypassrls": "has BYPASSRLS"}
    flags |= {"rolcreaterole": "can make roles"}
    for row in _known(connection):
        yield from (f"{row['role']}: {text}" for flag, text in flags.items() if row[flag])
    for row in rows(connection, _OWNED_BY_OTHERS, owner=OWNER):
        yield f"another than {OWNER} owns {row['name']}"
    for row in rows(connection, _HANGABLE):
        yield f"{_PUBLIC}: EXECUTE on {row['name']}"


def statements(connection: Connection) -> Iterator[str]:
    """Give the statements that make the rights what they ought to be, whatever they are; a superuser can run them.

    The owner of the database who may make roles can run them, too. Whoever has a right that is not in the table loses it.
    """
    for role, purpose in ROLES.items():
        yield _ROLE.format(role=role)
        yield f"ALTER ROLE {role} NOLOGIN NOCREATEROLE NOCREATEDB"
        yield f"COMMENT ON ROLE {role} IS 'proofgap: {purpose}'"
    yield _OWNERSHIP.format(owner=OWNER)
    wanted = set(_wanted(_tables(connection)))
    yield from (_revoked(right) for right in sorted(set(_granted(connection)) - wanted))
    yield from (f"REVOKE ALL ON FUNCTION proofgap.{row['name']} FROM PUBLIC" for row in rows(connection, _HANGABLE))
    yield from (f"GRANT {right.privilege} ON {_place(right)} TO {right.role}" for right in sorted(wanted))
    yield from _QUEUE_RIGHTS  # what is in there is no record, so nobody compares them


def _place(right: Right) -> str:
    return "SCHEMA proofgap" if right.table == "the schema" else f'proofgap."{right.table}"'


def _revoked(right: Right) -> str:
    role = _PUBLIC if right.role == _PUBLIC else '"' + right.role.replace('"', '""') + '"'
    return f"REVOKE {right.privilege} ON {_place(right)} FROM {role}"


_ROLE = """DO $$ BEGIN
  CREATE ROLE {role};
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""
_OWNERSHIP = """DO $$
DECLARE
  found RECORD;
BEGIN
  IF NOT pg_has_role('{owner}', 'USAGE') THEN
    EXECUTE format('GRANT {owner} TO %I', current_user);  -- whoever gives something away must belong to who gets it
  END IF;
  EXECUTE format('GRANT CREATE ON DATABASE %I TO {owner}', current_database());
  ALTER SCHEMA proofgap OWNER TO {owner};
  FOR found IN SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass AS name
    FROM pg_class AS c WHERE c.relnamespace = 'proofgap'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'S')
      AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i')) LOOP
    EXECUTE format('ALTER %s %s OWNER TO {owner}', found.kind, found.name);
  END LOOP;
  FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc AS p WHERE p.pronamespace = 'proofgap'::regnamespace LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO {owner}', found.name);
  END LOOP;
  FOR found IN SELECT o.oid::regoperator AS name FROM pg_operator AS o WHERE o.oprnamespace = 'proofgap'::regnamespace LOOP
    EXECUTE format('ALTER OPERATOR %s OWNER TO {owner}', found.name);
  END LOOP;
END $$"""
