"""The schema of a ledger on PostgreSQL: tables, columns, constraints, indexes, functions and triggers, as it says them.

What ought to be there was recorded from a server right after the migrations, as digests, in a file beside each of
them; a test makes the file anew. A part of the schema is what can change what a statement of ours does: a rule, a
policy, a table that inherits from ours, a trigger that is switched off, a function that was replaced. Owns these
queries. Refuses to know what a difference means (`schema`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

from proofgap_store.catalog import Catalog, Found, Part
from proofgap_store.dialect import Connection
from proofgap_store.engine import rows
from proofgap_store.migrations import scripts

_PARTS = """
SELECT c.relname AS name, 'table' AS kind, concat_ws(chr(10), c.relkind, c.relpersistence,
    (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), l.collname, a.attnotnull,
       a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)), chr(10) ORDER BY a.attnum)
     FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(concat_ws(' ', n.conname, pg_get_constraintdef(n.oid)), chr(10) ORDER BY n.conname)
     FROM pg_constraint AS n WHERE n.conrelid = c.oid AND n.contype <> 'n'),
    (SELECT string_agg('inherited by ' || i.inhrelid::regclass, chr(10)) FROM pg_inherits AS i WHERE i.inhparent = c.oid),
    CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END,
    (SELECT 'foreign keys are switched off' FROM pg_trigger AS t
     WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A') LIMIT 1), c.reloptions::text) AS definition,
  format('DROP TABLE %I', c.relname) AS dropped
FROM pg_class AS c
WHERE c.relnamespace = (SELECT to_regnamespace('proofgap')) AND c.relkind NOT IN ('i', 'I', 't', 'c') AND c.relname <> 'alembic_version'
UNION ALL
SELECT c.relname, 'row-security', concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity),
  format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', c.relname)
FROM pg_class AS c WHERE c.relnamespace = (SELECT to_regnamespace('proofgap')) AND (c.relrowsecurity OR c.relforcerowsecurity)
UNION ALL
SELECT c.relname, 'index', concat_ws(' ', pg_get_indexdef(c.oid), i.indisvalid, i.indisready), format('DROP INDEX %I', c.relname)
FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE c.relnamespace = (SELECT to_regnamespace('proofgap')) AND i.indrelid IS DISTINCT FROM to_regclass('proofgap.alembic_version')
UNION ALL
SELECT CASE WHEN starts_with(t.tgname, c.relname) THEN t.tgname ELSE t.tgname || ' on ' || c.relname END, 'trigger',
  concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled), format('DROP TRIGGER %I ON %I', t.tgname, c.relname)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = (SELECT to_regnamespace('proofgap')) AND NOT t.tgisinternal
UNION ALL
SELECT p.oid::regprocedure::text, 'function', CASE p.prokind WHEN 'a' THEN (
    SELECT concat_ws(' ', aggtransfn, aggfinalfn, format_type(aggtranstype, NULL), agginitval) FROM pg_aggregate WHERE aggfnoid = p.oid)
  ELSE pg_get_functiondef(p.oid) END, 'DROP ROUTINE ' || p.oid::regprocedure
FROM pg_proc AS p WHERE p.pronamespace = (SELECT to_regnamespace('proofgap'))
UNION ALL
SELECT o.oid::regoperator::text, 'operator', o.oprcode::text, 'DROP OPERATOR ' || o.oid::regoperator
FROM pg_operator AS o WHERE o.oprnamespace = (SELECT to_regnamespace('proofgap'))
UNION ALL
SELECT r.rulename || ' on ' || c.relname, 'rule', pg_get_ruledef(r.oid), format('DROP RULE %I ON %I', r.rulename, c.relname)
FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE c.relnamespace = (SELECT to_regnamespace('proofgap')) AND r.rulename <> '_RETURN'
UNION ALL
SELECT p.polname || ' on ' || c.relname, 'policy',
  concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::text, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)),
  format('DROP POLICY %I ON %I', p.polname, c.relname)
FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = (SELECT to_regnamespace('proofgap'))
"""
_VERSION = """
SELECT hash_array_extended(array_agg(id), 1) # hash_array_extended(array_agg(x), 2) FROM (
  SELECT oid AS id, xmin AS x FROM pg_class
  WHERE oid >= 16384 AND relnamespace = (SELECT to_regnamespace('proofgap'))
  UNION ALL SELECT oid, xmin FROM pg_proc
  WHERE oid >= 16384 AND pronamespace = (SELECT to_regnamespace('proofgap'))
  UNION ALL SELECT oid, xmin FROM pg_trigger
  UNION ALL SELECT oid, xmin FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT inhrelid, xmin FROM pg_inherits
  UNION ALL SELECT oid, xmin FROM pg_policy
) AS found
"""  # what users made has numbers from 16384 on (FirstNormalObjectId), so the indexes lead to it
_MADE = re.compile(r"CREATE (?:OR REPLACE |UNIQUE )?(TRIGGER|FUNCTION|INDEX|POLICY) (\w+)")
_CREATE = re.compile(r"CREATE (?:OR REPLACE )?")
_HEADER = re.compile(r"(?:--.*\n|\n)*")
_TABLE = re.compile(r" ON (\w+) FOR EACH")
_ENABLED = "ALTER TABLE {1} ENABLE ALWAYS TRIGGER {0}"
_ROW_SECURITY = "ALTER TABLE {} ENABLE ROW LEVEL SECURITY"
_OF_THE_OWNER = "ALTER FUNCTION {} SECURITY DEFINER"
_OF_THE_CALLER = frozenset({"audit_event_redacts()", "audit_event_prunes()"})  # see ``0005_roles``


def _parts(connection: Connection) -> Mapping[Part, Found]:
    return {
        Part(row["kind"], row["name"]): Found(sha256(row["definition"].encode()).hexdigest(), row["dropped"])
        for row in rows(connection, _PARTS)
    }


def recorded(revision: str) -> Path:
    """Name the file that says what the schema of a revision is: a digest and a name a line."""
    name = next(name for name in scripts.NAMES if name.startswith(revision))
    return Path(scripts.__file__).with_name("versions") / f"{name}.postgresql.txt"


def record(connection: Connection) -> str:
    """Write down the schema that is there, as the file of its revision says it."""
    return "".join(f"{found.definition} {' '.join(part)}\n" for part, found in sorted(_parts(connection).items()))


@cache
def _wanted(upto: str) -> Mapping[Part, str]:
    lines = [line.split(" ", 2) for line in recorded(upto).read_text("utf-8").splitlines()]
    return {Part(kind, name): digest for digest, kind, name in lines}


def _statements(part: Part) -> tuple[str, ...]:
    """Give what makes a part again: a function under all its signatures, a trigger as it was made last."""
    if part.kind == "row-security":
        return (_ROW_SECURITY.format(part.name),)
    made = _made().get((part.kind, part.name.partition("(")[0].partition(" on ")[0]), ())
    if part.kind == "function":
        again = tuple(_CREATE.sub("CREATE OR REPLACE ", text, count=1) for text in made)
        is_guard = any("RETURNS trigger" in text for text in made) and part.name not in _OF_THE_CALLER
        return (*again, _OF_THE_OWNER.format(part.name)) if is_guard else again
    if part.kind == "trigger":
        return (*made[-1:], *(_ENABLED.format(part.name, table) for table in _TABLE.findall(made[-1])))
    return made


@cache
def _made() -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Give every statement of the migrations that makes something which can be made again, by what that is."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for script in scripts.NAMES:
        for text in scripts.statements(script, "postgresql"):
            statement = _HEADER.sub("", text, count=1)
            match = _MADE.match(statement)
            if match is not None:
                key = (match[1].lower(), match[2])
                found[key] = (*found.get(key, ()), statement)
    return found


CATALOG = Catalog(
    parts=_parts,
    wanted=_wanted,
    statements=_statements,
    version=_VERSION,
    is_stamped="SELECT 1 FROM pg_class WHERE oid = to_regclass('proofgap.alembic_version')",
)
