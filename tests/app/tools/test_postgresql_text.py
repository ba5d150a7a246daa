"""The texts of PostgreSQL's tools: dumps and error outputs, in pieces of any size, and with everything that may stand in a row."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofgap.errors import BadInputError
from proofgap_app.drivers.postgresql_dump import DumpReader, Figures, Rows, SequenceState, TableName
from proofgap_app.drivers.postgresql_errors import ErrorReader
from proofgap_app.drivers.postgresql_target import is_looked_up, label_in
from proofgap_app.drivers.postgresql_tools import check_target

DUMP = rb"""SET client_encoding = 'LATIN1';
--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: alice
--
CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$
select '\! no command' -- in a text
COPY public.t (id) FROM stdin;
$_$;
COMMENT ON FUNCTION public.f() IS E'it''s \\ \'\!';
-- Data for Name: Odd "t" x; Type: TABLE DATA; Schema: public; Owner: alice smith
COPY public."Odd ""t"" x" (id, "a, b", c) FROM stdin;
1	x\\y	\N
2		-- Name: n; Type: TABLE; Schema: public; Owner: o
\.
-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: alice
SELECT pg_catalog.setval('public.s', 7, true);
/* \! a comment
   of two lines */
-- PostgreSQL database dump complete
"""


def read(text: bytes, size: int = 1 << 20, *, numbered: bool = False) -> Figures:
    """Read a dump in pieces."""
    reader = DumpReader(numbered=numbered)
    for start in range(0, len(text), size):
        reader.take(text[start : start + size])
    return reader.end()


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_dump_is_the_same_in_pieces_of_any_size(size: int) -> None:
    """Entries, names with quotes, rows, sequences, encoding; and nothing within a text or a row is taken for more."""
    found = read(DUMP, size)
    assert [head.text for head in found.heads] == [
        "FUNCTION public f() alice",
        'TABLE DATA public Odd "t" x alice smith',
        "SEQUENCE SET public s alice",
    ]
    assert found.data[2].name == TableName("public", 'Odd "t" x', ("id", "a, b", "c"))
    assert (found.data[2].rows.count, found.data[2].is_whole) == (2, True)
    assert found.sequences == {3: ("public.s", SequenceState(7, is_called=True))}
    assert (found.encoding, found.refused, found.is_complete) == ("LATIN1", None, True)


def test_entries_of_an_archive_have_its_numbers() -> None:
    """The tool's comments say which entry follows."""
    text = b"-- TOC entry 2581 (class 0 OID 1)\n-- Data for Name: t; Type: TABLE DATA; Schema: s; Owner: o\nCOPY s.t (a) FROM stdin;\n1\n"
    found = read(text, numbered=True)
    assert (list(found.data), found.data[2581].is_whole) == ([2581], False)


@pytest.mark.parametrize(
    "line",
    [r"\! touch x", r"SELECT 1 \gexec", r"SELECT $$ \o x $$, 'a' \i f", "SELECT 'a\n\\o ' \\i f", r"SELECT e'\'' \! x"],
)
def test_a_command_for_psql_is_found_wherever_it_stands(line: str) -> None:
    """And a backslash within a text, a comment or a name is none."""
    assert read(line.encode() + b"\n").refused is not None
    assert read(b"-- " + line.replace("\n", " ").encode() + b"\n").refused is None
    assert read(b"SELECT $x$" + line.encode() + b"$x$;\n").refused is None


def test_rows_that_are_not_written_as_the_tool_writes_them_are_not_compared() -> None:
    """Their form is not that of ``COPY ... TO``."""
    found = read(b"COPY t FROM stdin WITH (FORMAT csv);\n1,2\n\\.\nCOPY public.t (a) FROM stdin;\n1\n\\.\n")
    assert [data.name for data in found.data.values()] == [None]


def digest(*rows: bytes) -> str:
    """Give the digest of rows."""
    found = Rows()
    for row in rows:
        found.add(row)
    return found.sha256


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=12), max_size=6), st.randoms())
def test_a_digest_does_not_depend_on_the_order_of_rows_and_on_everything_else(
    rows: list[bytes], random: object
) -> None:
    """A row more, a row less, and a row twice are other rows."""
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a Random
    assert digest(*rows) == digest(*mixed)
    assert digest(*rows, b"new row") != digest(*rows)
    assert digest(*rows, b"a", b"b") != digest(*rows, b"a", b"a")


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        (b"1\t2026-03-29 05:30:00+05:30", b"1\t2026-03-29 00:00:00+00", True),
        (b"2026-01-01 00:00:00.123456-08", b"2026-01-01 08:00:00.123456+00", True),
        (b'{"2026-03-29 02:00:00+02"}', b'{"2026-03-29 00:00:00+00"}', True),
        (b"2026-03-29 02:00:00+02", b"2026-03-29 02:00:00+00", False),
        (b"2026-03-29 02:00:00", b"2026-03-29 00:00:00", False),
        (b"9999-12-31 23:00:00-02", b"9999-12-31 23:00:00-01", False),
    ],
)
def test_a_time_with_a_zone_is_the_same_in_every_zone(one: bytes, other: bytes, *, are_equal: bool) -> None:
    """Dumps have it in the zone of whoever made them."""
    assert (digest(one) == digest(other)) is are_equal


def test_errors_belong_to_the_entry_that_was_named_and_a_fatal_one_to_none() -> None:
    """What follows an error is part of it; what is begun is not."""
    begun: list[str] = []
    reader = ErrorReader(begun.append, "/a.dump")
    for line in """pg_restore: creating TABLE "public.t"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 219; 1259 1 TABLE t alice
pg_restore: error: could not execute query: ERROR:  relation "t" already exists
Command was: CREATE TABLE public.t (
    a integer
pg_restore: error: could not execute query: ERROR:  role "alice" does not exist
Command was: ALTER TABLE public.t OWNER TO alice;

pg_restore: processing data for table "public.t"
pg_restore: error: could not read from input file: end of file""".splitlines():
        reader.read(line)
    first, second, fatal = reader.problems
    assert (first.entry, first.says_that_it_exists, first.is_about_owner) == (219, True, False)
    assert (second.entry, second.says_that_it_exists, second.is_about_owner) == (219, False, True)
    assert (fatal.entry, reader.of(219), reader.went_on) == (None, [first, second], False)
    assert begun == ['TABLE "public.t"', 'data for table "public.t"']
    reader.read("pg_restore: warning: errors ignored on restore: 2")
    assert reader.went_on


def test_an_error_of_psql_names_the_line_of_the_file() -> None:
    """Whatever the file is called; and one that no file is to blame for is an error, too."""
    reader = ErrorReader(print, "/srv/a:3: odd.sql")
    reader.read("psql:/srv/a:3: odd.sql:28: ERROR:  relation exists")
    reader.read("psql: error: connection to server failed")
    assert [(problem.entry, problem.text) for problem in reader.problems] == [
        (28, "relation exists"),
        (None, "psql: error: connection to server failed"),
    ]


def test_an_error_of_psql_is_found_in_every_language() -> None:
    """It is the last thing that is said by one that stopped at an error; notices come before it."""
    reader = ErrorReader(print, "a.sql")
    for line in ("psql:a.sql:3: HINWEIS:  nichts", "psql:a.sql:28: FEHLER:  Relation existiert bereits", "ZEILE 1"):
        reader.read(line)
    assert reader.problems == []
    reader.stopped()
    assert [problem.entry for problem in reader.problems] == [28]


def test_an_entry_is_found_by_its_name_whatever_its_owner_is_called() -> None:
    """What an entry makes is looked up only where its name says what it is."""
    there = {"TABLE public t": 1, "TABLE public t two": 2}
    assert label_in("TABLE public t two alice smith", there) == "TABLE public t two"
    assert label_in("TABLE public t alice", there) == "TABLE public t"
    assert label_in("TABLE public u alice", there) is None
    found = [
        text for text in ("TABLE a b", "TABLE DATA a b", "SEQUENCE OWNED BY a", "FUNCTION f") if is_looked_up(text)
    ]
    assert found == ["TABLE a b"]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("postgresql://host", "does not name a database"),
        ("/srv/x", "is no PostgreSQL URL"),
        ("postgresql://me:canary-99@host/x", "holds a password"),
        ("dbname=x sslpassword=canary-99", "holds a password"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(target: str, problem: str) -> None:
    """And what is secret in it is not repeated."""
    with pytest.raises(BadInputError, match=problem) as caught:
        check_target(target)
    assert "canary" not in str(caught.value)
