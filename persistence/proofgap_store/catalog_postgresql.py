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

from proofgap_store.catalog import Catalog, Part
from proofgap_store.dialect import Connection
from proofgap_store.engine import rows
from proofgap_store.migrations import scripts

_PARTS = """
SELECT c.relname AS name, 'table' AS kind, concat_ws(chr(10), c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
    (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), l.collname, a.attnotnull,
       a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid)), chr(10) ORDER BY a.attnum)
     FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(concat_ws(' ', n.conname, pg_get_constraintdef(n.oid)), chr(10) ORDER BY n.conname)
     FROM pg_constraint AS n WHERE n.conrelid = c.oid AND n.contype <> 'n'),
    (SELECT string_agg('inherited by ' || i.inhrelid::regclass, chr(10)) FROM pg_inherits AS i WHERE i.inhparent = c.oid),
    (SELECT 'foreign keys are switched off' FROM pg_trigger AS t
     WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A') LIMIT 1)) AS definition,
  format('DROP TABLE %I', c.relname) AS dropped
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('proofgap') AND c.relkind NOT IN ('i', 'I', 't', 'c') AND c.relname <> 'alembic_version'
UNION ALL
SELECT c.relname, 'index', concat_ws(' ', pg_get_indexdef(c.oid), i.indisvalid, i.indisready), format('DROP INDEX %I', c.relname)
FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE c.relnamespace = to_regnamespace('proofgap') AND i.indrelid IS DISTINCT FROM to_regclass('proofgap.alembic_version')
UNION ALL
SELECT CASE WHEN starts_with(t.tgname, c.relname) THEN t.tgname ELSE t.tgname || ' on ' || c.relname END, 'trigger',
  concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled), format('DROP TRIGGER %I ON %I', t.tgname, c.relname)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = to_regnamespace('proofgap') AND NOT t.tgisinternal
UNION ALL
SELECT p.oid::regprocedure::text, 'function', CASE p.prokind WHEN 'a' THEN (
    SELECT concat_ws(' ', aggtransfn, aggfinalfn, format_type(aggtranstype, NULL), agginitval) FROM pg_aggregate WHERE aggfnoid = p.oid)
  ELSE pg_get_functiondef(p.oid) END, 'DROP ROUTINE ' || p.oid::regprocedure
FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('proofgap')
UNION ALL
SELECT o.oid::regoperator::text, 'operator', o.oprcode::text, 'DROP OPERATOR ' || o.oid::regoperator
FROM pg_operator AS o WHERE o.oprnamespace = to_regnamespace('proofgap')
UNION ALL
SELECT 'rule ' || r.rulename || ' on ' || c.relname, 'rule', pg_get_ruledef(r.oid), format('DROP RULE %I ON %I', r.rulename, c.relname)
FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class
WHERE c.relnamespace = to_regnamespace('proofgap') AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'policy ' || p.polname || ' on ' || c.relname, 'policy',
  concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)),
  format('DROP POLICY %I ON %I', p.polname, c.relname)
FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = to_regnamespace('proofgap')
"""
_VERSION = """
SELECT (sum(hashtextextended(found.oid || ' ' || found.xmin, 0) % 4294967296) + count(*))::bigint FROM (
  SELECT oid, xmin FROM pg_class WHERE relnamespace = to_regnamespace('proofgap')
  UNION ALL SELECT oid, xmin FROM pg_proc WHERE pronamespace = to_regnamespace('proofgap')
  UNION ALL SELECT t.oid, t.xmin FROM pg_class AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid
    WHERE c.relnamespace = to_regnamespace('proofgap')
  UNION ALL SELECT r.oid, r.xmin FROM pg_class AS c JOIN pg_rewrite AS r ON r.ev_class = c.oid
    WHERE c.relnamespace = to_regnamespace('proofgap')
  UNION ALL SELECT inhrelid, i.xmin FROM pg_class AS c JOIN pg_inherits AS i ON i.inhparent = c.oid
    WHERE c.relnamespace = to_regnamespace('proofgap')
) AS found
"""
_MADE = re.compile(r"CREATE (?:TRIGGER|FUNCTION|INDEX|UNIQUE INDEX) (\w+)")


def _parts(connection: Connection) -> Mapping[str, Part]:
    return {
        row["name"]: Part(row["kind"], sha256(row["definition"].encode()).hexdigest(), row["dropped"])
        for row in rows(connection, _PARTS)
    }


def recorded(revision: str) -> Path:
    """Name the file that says what the schema of a revision is: a digest and a name a line."""
    name = next(name for name in scripts.NAMES if name.startswith(revision))
    return Path(scripts.__file__).with_name("versions") / f"{name}.postgresql.txt"


def record(connection: Connection) -> str:
    """Write down the schema that is there, as the file of its revision says it."""
    return "".join(f"{part.definition} {name}\n" for name, part in sorted(_parts(connection).items()))


@cache
def _wanted(upto: str) -> Mapping[str, str]:
    lines = recorded(upto).read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split(" ", 1) for line in lines)}


def _statements(name: str) -> tuple[str, ...]:
    """Give what makes a part again: all functions of a name, the trigger as it was made last."""
    made = _made().get(name.partition("(")[0], ())
    functions = tuple(
        text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1) for text in made if _is(text, "FUNCTION")
    )
    if "(" in name:
        return functions
    others = tuple(text for text in made if not _is(text, "FUNCTION"))[-1:]
    return others + tuple(_enabled(text) for text in others if _is(text, "TRIGGER"))


def _is(statement: str, kind: str) -> bool:
    return statement.startswith(f"CREATE {kind}")


def _enabled(trigger: str) -> str:
    found = re.search(r"CREATE TRIGGER (\w+) .*? ON (\w+)", trigger)
    if found is None:
        raise ValueError(trigger)
    return f"ALTER TABLE {found[2]} ENABLE ALWAYS TRIGGER {found[1]}"


@cache
def _made() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for script in scripts.NAMES:
        for statement in scripts.statements(script, "postgresql"):
            match = _MADE.match(statement)
            if match is not None:
                found[match[1]] = (*found.get(match[1], ()), statement)
    return found


CATALOG = Catalog(
    parts=_parts,
    wanted=_wanted,
    statements=_statements,
    version=_VERSION,
    is_stamped="SELECT 1 FROM pg_class WHERE oid = to_regclass('proofgap.alembic_version')",
)
