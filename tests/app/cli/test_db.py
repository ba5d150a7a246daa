"""``db``: the operator's commands, by what they print, what they leave, and how they end."""

from __future__ import annotations

import psycopg
import pytest

from proofgap_store.migrations.scripts import NAMES, statements
from proofgap_store.schema import REVISION
from tests import postgresql
from tests.store.raw import behind_the_guards, connect
from tests.store.test_maintenance import old

__all__ = ["old"]

BEFORE = NAMES[-2].partition("_")[0]


@pytest.fixture
def path(cli):
    """The file of the ledger that the command line works on."""
    return cli.folder / "proofgap.db"


def test_a_sound_database_is_said_to_be_so(cli):
    cli.ok("init")
    names = ("missing guards", "foreign guards", "damage", "rows that point nowhere")
    assert cli.ok("db", "check").out == "".join(f"{name}\tnone\n" for name in names)
    assert cli.ok("db", "check", "--json").json == {
        "missing_guards": [], "foreign_guards": [], "damage": [], "dangling": [],
    }  # fmt: skip


def test_what_is_wrong_with_a_database_is_named_and_the_exit_code_is_1(cli, path):
    cli.ok("init")
    connection = connect(path)
    connection.execute("DROP TRIGGER audit_leaf_is_never_deleted")
    connection.close()
    behind_the_guards(path, "INSERT INTO audit_private VALUES (999999, 'x', printf('%032d', 7), 'x')")
    result = cli("db", "check")
    assert result.code == 1
    assert "missing guards\taudit_leaf_is_never_deleted\n" in result.out
    assert "audit_private" in result.out


def test_a_backup_is_made_once_and_says_what_is_not_in_it(cli, path):
    cli.ok("init")
    copy = cli.folder / "copy.db"
    result = cli.ok("db", "backup", str(copy))
    assert result.out == f"Ledger copied: {copy} ({copy.stat().st_size} bytes)\n"
    assert f"{path}.key" in result.err
    assert f"{path}.head" in result.err
    again = cli("db", "backup", str(copy))
    assert (again.code, again.err.endswith("' is there already. Name a new file.\n")) == (2, True)
    assert cli("db", "backup", str(path)).code == 2
    found = cli.ok("db", "backup", str(cli.folder / "second.db"), "--json").json
    assert found == {"file": str(cli.folder / "second.db"), "bytes": copy.stat().st_size}
    assert cli.ok("doctor", "--ledger", f"sqlite:///{path}").code == 0


@pytest.mark.usefixtures("old")
def test_an_older_ledger_is_brought_up_on_demand_and_can_be_used_then(cli):
    refused = cli("doctor")
    assert (refused.code, "Bring it up with: proofgap db upgrade." in refused.err) == (1, True)
    result = cli.ok("db", "upgrade")
    assert result.out.startswith(f"Schema 0001 -> {REVISION}: ")
    assert cli.ok("db", "upgrade").out.startswith(f"Nothing to do: the schema is {REVISION} already (")
    assert cli.ok("audit", "checkpoint", "--json").json["size"] == cli.ok("doctor", "--json").json["events"]
    assert cli.ok("db", "check").code == 0


def test_where_there_is_no_ledger_none_is_made(cli):
    for command in (["db", "check"], ["db", "backup", str(cli.folder / "copy.db")], ["db", "upgrade"]):
        result = cli(*command)
        assert (result.code, "Make one with: proofgap init." in result.err) == (1, True), command
    assert list(cli.folder.iterdir()) == []


def test_a_ledger_is_moved_and_the_roles_of_its_database_are_given_their_rights(cli):
    cli.ok("init")
    roles = cli("db", "roles")
    assert (roles.code, "a file has no roles" in roles.err) == (2, True)
    with postgresql.database(empty=True) as url:
        result = cli.ok("db", "move", url)
        assert result.out.startswith("Ledger moved: postgresql://")
        assert "proofgap db roles --apply" in result.err
        refused = cli("init", "--approvals-required", "1")
        assert (refused.code, "moved to a server" in refused.err) == (1, True)
        there = ("--ledger", url)
        assert cli("db", "roles", "--check", *there).code == 1
        assert "CREATE ROLE proofgap_app;" in cli.ok("db", "roles", *there).out
        assert "missing rights\tnone\nrights beyond\tnone\n" in cli.ok("db", "roles", "--apply", *there).out
        assert cli.ok("db", "roles", "--check", "--json", *there).json["missing"] == []
        assert cli("db", "roles", "--check", "--apply", *there).code == 2
        assert "is a superuser" in cli.ok("db", "check", *there).err
        warned = cli("doctor", *there)
        assert (warned.code, "so that no guard holds it: log in as a member of proofgap_app" in warned.err) == (9, True)
        again = cli("db", "move", url, "--ledger", f"sqlite:///{cli.folder / 'proofgap.db'}")
        assert (again.code, "holds a ledger already" in again.err) == (2, True)


def test_after_an_upgrade_on_a_server_the_next_step_is_to_give_the_roles_what_they_lack(cli):
    """Without it, erasing is refused to those whose right it is."""
    with postgresql.database(empty=True) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE SCHEMA proofgap; SET search_path = proofgap")
            for name in NAMES[:-1]:
                for statement in statements(name, "postgresql"):
                    connection.execute(statement.encode())
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (BEFORE,))
        there = ("--ledger", url)
        done = cli.ok("db", "upgrade", *there)
        assert done.out.startswith(f"Schema {BEFORE} -> {REVISION}: ")
        assert "Next: proofgap db roles --apply" in done.err
        cli.ok("db", "roles", "--apply", *there)
