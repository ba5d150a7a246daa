"""Ledgers that hold what no version wrote, or what another version wrote: named, and nothing is made of them."""

from __future__ import annotations

import pytest

from proofgap_store import Ledger, UnavailableError
from proofgap_store.documents import DamagedError
from tests.conformance.lives import ADA, live
from tests.store.raw import connect


def overwrite(path, statement, *parameters):
    """Change a table behind the back of its guards: drop its triggers and ignore its checks."""
    connection = connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement, parameters)
    connection.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", "finished"), ("details", '{"selected":"many"}'), ("details", '{"unknown":1,"selected":-1}')],
)
def test_a_stored_record_that_no_version_wrote_is_named_and_not_guessed_at(ledger, path, column, value):
    run_id = live(ledger, "scoped")
    overwrite(path, f"UPDATE restore_run SET {column} = ? WHERE id = ?", value, run_id)  # noqa: S608 - names only
    for look in (lambda: ledger.peek(run_id, ADA), lambda: ledger.show(run_id, ADA.id, ADA)):
        with pytest.raises(DamagedError, match="proofgap doctor") as caught:
            look()
        assert caught.value.subject == run_id


def test_a_ledger_of_another_schema_is_not_opened_and_says_whose_it_is(ledger, path):
    ledger.close()
    overwrite(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnavailableError, match="its schema is 9999"):
        Ledger.open(f"sqlite:///{path}")


def test_an_empty_database_is_no_ledger_unless_one_is_to_be_made(tmp_path):
    empty = tmp_path / "empty.db"
    connect(empty).execute("VACUUM")
    with pytest.raises(UnavailableError, match="there is no ledger yet"):
        Ledger.open(f"sqlite:///{empty}", create=False)
    with Ledger.open(f"sqlite:///{empty}", owner=ADA.id) as ledger:
        assert live(ledger, "draft")
