"""A new signing key: put in force by the log, endorsed by the old one, and never lost on the way."""

from __future__ import annotations

import pytest

from proofgap.checkpoints import open_checkpoint
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.notes import SignerKey, VerifierKey, parse_note, verify_note
from proofgap.proofs import accept, parse_policy
from proofgap_store import CustodyError, Ledger, UnsignedError, keys
from proofgap_store.keys import KeyFile, endorsement_text
from tests.conformance.lives import ADA, OLGA, SAM, UDO, VERA, live, log, open_scope
from tests.store.raw import connect
from tests.store.trees import beside, hold, tree_of


def held(path):
    """Read the key in the key file."""
    return SignerKey.parse(beside(path, ".key").read_text().strip())


def files_beside(path):
    """Read every file that belongs to the ledger and is not its database."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if ".db." in file.name}


def test_the_first_key_has_its_place_from_the_first_day_and_nobody_else_can_read_it(path):
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id) as ledger:
        (first,) = ledger.audit.keys(ADA)
        assert held(path).verifier.text == first.key
        assert beside(path, ".key").stat().st_mode & 0o777 == 0o600
        assert (first.is_endorsed, first.first_index) == (None, None)
        assert ledger.audit.checkpoint().size == len(log(ledger))
        assert ledger.audit.keys(ADA)[0].first_index == len(log(ledger)) - 1


def test_a_rotated_key_is_endorsed_and_signs_from_then_on(ledger, path):
    old, older_note = held(path), ledger.audit.checkpoint().note
    rotated = ledger.audit.rotate_key(ADA)
    new = VerifierKey.parse(rotated.key)
    assert held(path).verifier == new != old.verifier
    assert new.name == old.name
    assert not beside(path, ".key.new").exists()
    _, period = ledger._gate.read(keys.history)
    endorsement = parse_note(period.endorsement)
    assert endorsement.text == endorsement_text(new)
    assert verify_note(endorsement, [old.verifier])
    note = ledger.audit.checkpoint().note
    assert open_checkpoint(note, [new]).checkpoint.size == len(log(ledger))
    assert open_checkpoint(older_note, [old.verifier]).checkpoint.size < len(log(ledger))
    assert hold(ledger) == 2
    assert [(key.is_endorsed, key.first_index) for key in ledger.audit.keys(ADA)][1] == (True, len(log(ledger)) - 1)


def test_what_waits_is_signed_with_the_old_key_before_the_new_one_is_in_force(ledger, path):
    old = held(path).verifier
    live(ledger)
    ledger.audit.rotate_key(ADA)
    (row,) = tree_of(ledger)["audit_checkpoint"]
    assert (row["size"], open_checkpoint(row["note"], [old]).checkpoint.size) == (len(log(ledger)) - 1,) * 2


def test_keys_follow_one_another_and_all_of_them_are_in_the_policy(ledger):
    notes = [ledger.audit.checkpoint().note]
    for _ in range(3):
        ledger.audit.rotate_key(ADA)
        notes.append(ledger.audit.checkpoint().note)
    policy = parse_policy(ledger.audit.policy(UDO))
    assert [log_.key.text for log_ in policy.logs] == [key.key for key in ledger.audit.keys(UDO)]
    assert [accept(note, policy).checkpoint.size for note in notes] == [11, 12, 13, 14]


def test_a_ledger_in_memory_keeps_its_keys_in_memory_and_rotates_them(path):
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        ledger.audit.checkpoint()
        ledger.audit.rotate_key(ADA)
        ledger.audit.checkpoint()
        assert hold(ledger) == 2
    assert list(path.parent.iterdir()) == []


def test_a_lost_key_is_followed_without_its_endorsement_and_the_log_says_so(ledger, path):
    ledger.audit.checkpoint()
    beside(path, ".key").unlink()
    live(ledger)
    with pytest.raises(CustodyError, match=r"is not at .*audit key rotate --lost"):
        ledger.audit.rotate_key(ADA)
    assert len(ledger.audit.keys(ADA)) == 1
    assert ledger.audit.rotate_key(ADA, lost=True).is_endorsed is False
    ledger.audit.checkpoint()
    assert hold(ledger) == 2


def test_a_key_that_is_there_is_not_given_up_as_lost(ledger, path):
    before = log(ledger), files_beside(path)
    with pytest.raises(BadInputError, match="lost: is not so: the key is at"):
        ledger.audit.rotate_key(ADA, lost=True)
    assert (log(ledger), files_beside(path)) == before


@pytest.mark.parametrize(("actor", "error"), [(OLGA, ForbiddenError), (UDO, ForbiddenError), (SAM, NotFoundError)])
@pytest.mark.parametrize("lost", [False, True])
def test_only_an_admin_of_where_the_ledger_began_rotates_its_key(ledger, path, actor, error, lost):
    before, files = log(ledger), files_beside(path)
    with pytest.raises(error):
        ledger.audit.rotate_key(actor, lost=lost)
    added = log(ledger)[len(before) :]
    assert [(event.type, event.entry["actor"]["id"]) for event in added] == recorded(error, actor)
    assert (log(ledger)[: len(before)], files_beside(path), len(ledger.audit.keys(ADA))) == (before, files, 1)


def recorded(error, actor):
    """Say what is recorded of a refusal: for whoever holds no role, nothing is there."""
    return [("access.denied", actor.id)] if error is ForbiddenError else []


def test_the_admin_of_another_workspace_does_not_rotate_the_key_of_the_ledger(ledger):
    open_scope(ledger, ("w9", "e9"), SAM)
    with pytest.raises(NotFoundError):
        ledger.audit.rotate_key(SAM)
    assert len(ledger.audit.keys(SAM)) == 1


@pytest.mark.parametrize("actor", [OLGA, VERA, SAM])
def test_only_who_audits_reads_keys_and_policy(ledger, actor):
    for read in (ledger.audit.keys, ledger.audit.policy):
        with pytest.raises(ForbiddenError):
            read(actor)


def test_nothing_is_rotated_while_the_log_cannot_be_signed(ledger, path):
    ledger.audit.checkpoint()
    beside(path, ".head").write_text("dear diary\n")
    before = log(ledger), files_beside(path)
    with pytest.raises(UnsignedError):
        ledger.audit.rotate_key(ADA)
    assert (log(ledger), files_beside(path)) == before


def test_a_key_that_an_interrupted_rotation_left_is_the_one_that_is_put_in_force(ledger, path):
    current = held(path)
    staged = ledger._custody.key_file.propose(current.name, current.verifier)
    assert ledger.audit.rotate_key(ADA).key == staged.verifier.text
    assert ledger.audit.rotate_key(ADA).key != staged.verifier.text


def test_a_ledger_that_another_process_begins_meanwhile_begins_once(path, monkeypatch):
    """The one that is late has read a log without a key, and finds the key of the other one in its place."""
    propose = KeyFile.propose

    def late(key_file, name, current):
        monkeypatch.undo()
        Ledger.open(f"sqlite:///{path}", owner=ADA.id).close()
        return propose(key_file, name, current)

    monkeypatch.setattr(KeyFile, "propose", late)
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id) as ledger:
        assert len(ledger.audit.keys(ADA)) == 1
        assert ledger.audit.checkpoint().size == len(log(ledger))


OTHERS = {
    "key of another log": lambda other: other.read_text(),
    "garbage": lambda _: "dear diary",
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_what_is_in_the_key_file_of_a_new_ledger_is_never_overwritten(path, tmp_path, content):
    """Two ledgers that share PROOFGAP_KEY: the second must not destroy the only copy of the first one's key."""
    Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", owner=ADA.id).close()
    text = content(beside(tmp_path / "other.db", ".key"))
    beside(path, ".key").write_text(text)
    beside(path, ".key").chmod(0o600)
    with pytest.raises(CustodyError):
        Ledger.open(f"sqlite:///{path}", owner=ADA.id)
    assert beside(path, ".key").read_text() == text
    beside(path, ".key").rename(tmp_path / "away")
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id) as ledger:
        assert ledger.audit.checkpoint().size == len(log(ledger))


def test_a_lost_key_is_not_replaced_over_the_key_of_another_log(ledger, path, tmp_path):
    Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", owner=ADA.id).close()
    beside(tmp_path / "other.db", ".key").rename(beside(path, ".key"))
    before = log(ledger), files_beside(path)
    with pytest.raises(CustodyError, match="which this log does not name as its key"):
        ledger.audit.rotate_key(ADA, lost=True)
    assert (log(ledger), files_beside(path)) == before


def test_a_staged_key_of_another_log_is_not_put_in_force(ledger, path, tmp_path):
    Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", owner=ADA.id).close()
    beside(tmp_path / "other.db", ".key").rename(beside(path, ".key.new"))
    ledger.audit.checkpoint()
    before = log(ledger), files_beside(path)
    with pytest.raises(CustodyError, match=r"\.key\.new holds"):
        ledger.audit.rotate_key(ADA)
    assert (log(ledger), files_beside(path)) == before


def test_a_key_event_that_an_intruder_appended_signs_nothing(ledger, path):
    """Whoever owns the file can name a key in the log, but not put it into the key file of another place."""
    intruder = SignerKey.from_seed(held(path).name, b"\x07" * 32)
    ledger.audit.checkpoint()
    with Ledger.open(f"sqlite:///{path}", create=False, key=path.with_name("intruder.key")) as theirs:
        theirs._custody.key_file.path.write_text(intruder.text)
        theirs._custody.key_file.path.chmod(0o600)
        with pytest.raises(CustodyError):
            theirs.audit.rotate_key(ADA)
    assert len(ledger.audit.keys(ADA)) == 1


def test_the_files_can_lie_anywhere(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "heads").mkdir()
    places = {"key": tmp_path / "keys" / "log.key", "head": tmp_path / "heads" / "log.head"}
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url, owner=ADA.id, **places) as ledger:
        ledger.audit.rotate_key(ADA)
        note = ledger.audit.checkpoint().note
    assert places["head"].read_text("utf-8") == note
    assert [file.name for file in tmp_path.iterdir() if file.suffix in {".key", ".head"}] == []


def test_a_ledger_named_by_a_uri_keeps_its_key_beside_its_file(path):
    with Ledger.open(f"sqlite:///file:{path}?mode=rwc&uri=true", owner=ADA.id) as ledger:
        ledger.audit.checkpoint()
    assert KeyFile(beside(path, ".key")).held(held(path).verifier) is not None
    connection = connect(path)
    assert connection.execute("SELECT count(*) FROM audit_checkpoint").fetchone() == (1,)
    connection.close()
