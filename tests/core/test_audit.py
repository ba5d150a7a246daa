"""The form of an audit event: its canonical bytes against RFC 8785, its leaf hash against RFC 6962, its streams."""

from __future__ import annotations

import hashlib
import json
import string

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from proofgap.audit import (
    FORMAT_VERSION,
    GENESIS,
    Author,
    Entry,
    EventType,
    canonical,
    digest,
    leaf_hash,
    run_stream,
    system_stream,
    view_stream,
)
from proofgap.errors import BadInputError
from proofgap.facts import Counts
from proofgap.records import PreviewFacts, RunDetails

LARGEST = 2**53 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)
PATHS = st.text(string.ascii_lowercase + string.digits + "_.", min_size=1, max_size=20)
NUMBERS = st.integers(-LARGEST, LARGEST)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)
MAYBE = st.none() | TEXTS
ENTRIES = st.builds(
    Entry,
    v=st.just(FORMAT_VERSION),
    type=st.sampled_from(EventType),
    id=TEXTS,
    stream=TEXTS,
    seq=st.integers(0, LARGEST),
    prev=st.binary(min_size=32, max_size=32).map(bytes.hex),
    ws=MAYBE,
    env=MAYBE,
    run=MAYBE,
    op=MAYBE,
    at_us=NUMBERS,
    rec_us=NUMBERS,
    actor=st.builds(Author, id=TEXTS, kind=TEXTS, via=TEXTS),
    data=st.dictionaries(NAMES, VALUES, max_size=5),
    commit=st.dictionaries(PATHS, st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=3),
)
COUNT = st.none() | st.integers(0, LARGEST)
DETAILS = st.builds(
    RunDetails, backup=MAYBE, target=MAYBE, selected=COUNT, exit_code=st.none() | NUMBERS,
    counts=st.none() | st.builds(Counts, total=COUNT, succeeded=COUNT),
    preview=st.none() | st.builds(PreviewFacts, depth=MAYBE, created=COUNT),
)  # fmt: skip


@given(ENTRIES)
@settings(max_examples=100)
def test_the_canonical_bytes_of_an_entry_are_those_of_rfc_8785(entry):
    assert canonical(entry) == rfc8785.dumps(msgspec.to_builtins(entry))


@given(DETAILS)
def test_the_canonical_bytes_of_stored_facts_are_those_of_rfc_8785(details):
    assert canonical(details) == rfc8785.dumps(msgspec.to_builtins(details))


@given(VALUES)
@settings(max_examples=100)
def test_the_standard_library_writes_the_same_canonical_bytes(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value) == text.encode()


@given(ENTRIES)
@settings(max_examples=100)
def test_reading_canonical_bytes_and_writing_them_again_changes_nothing(entry):
    written = canonical(entry)
    assert canonical(json.loads(written)) == written
    assert msgspec.json.decode(written, type=Entry) == entry


@given(st.dictionaries(NAMES, VALUES, min_size=2, max_size=5))
@settings(max_examples=100)
def test_the_order_in_which_keys_were_put_in_does_not_matter(value):
    backwards = dict(reversed(value.items()))
    assert canonical(backwards) == canonical(value)
    assert digest(backwards) == digest(value)


def test_what_is_not_known_is_left_out_of_details_and_written_as_null_in_an_entry():
    assert canonical(RunDetails()) == b"{}"
    assert canonical(Counts(total=0)) == b'{"total":0}'
    assert b'"run":null' in canonical(entry_of({}))


def entry_of(data):
    """Give an entry with the least that one holds."""
    return Entry(
        v=FORMAT_VERSION, type=EventType.RUN_CREATED, id="e1", stream="run/r1", seq=0, prev=GENESIS, ws=None, env=None,
        run=None, op=None, at_us=1, rec_us=2, actor=Author(id="ada", kind="user", via="library"), data=data,
        commit={},
    )  # fmt: skip


def test_the_bytes_of_one_entry_are_these_for_ever():
    assert (
        canonical(entry_of({"b": 1, "a": "ä"}))
        == (
            '{"actor":{"id":"ada","kind":"user","via":"library"},"at_us":1,"commit":{},"data":{"a":"ä","b":1},"env":null,"id":"e1",'
            '"op":null,"prev":"' + "0" * 64 + '","rec_us":2,"run":null,"seq":0,"stream":"run/r1",'
            '"type":"restore.run.created","v":1,"ws":null}'
        ).encode()
    )


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused_with_a_remedy(text):
    for value in (text, {"a": [text]}, entry_of({"a": text})):
        with pytest.raises(BadInputError, match="lone surrogate"):
            canonical(value)


@given(st.binary(max_size=200))
def test_the_leaf_hash_is_that_of_rfc_6962(payload):
    assert leaf_hash(payload) == hashlib.sha256(b"\x00" + payload).hexdigest()


def test_the_leaf_hash_of_nothing_is_the_published_one():
    assert leaf_hash(b"") == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_a_leaf_is_never_mistaken_for_the_digest_of_the_same_bytes():
    assert leaf_hash(canonical({})) != digest({})


def test_a_digest_is_the_sha_256_of_the_canonical_bytes_and_stays_what_it_is():
    assert digest({"b": 1, "a": None}) == hashlib.sha256(b'{"a":null,"b":1}').hexdigest()
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@given(VALUES, VALUES)
@settings(max_examples=100)
def test_two_values_have_the_same_digest_only_if_they_are_written_alike(one, other):
    assert (digest(one) == digest(other)) is (canonical(one) == canonical(other))


def test_the_first_event_of_a_stream_names_sixty_four_zeros():
    assert GENESIS == "0" * 64


def test_streams_are_named_by_what_they_are_about():
    assert run_stream("r1") == "run/r1"
    assert view_stream("r1", "ada") == "view/r1/ada"
    assert system_stream("ledger") == "system/ledger"


def test_the_set_of_event_types_is_closed():
    assert {kind.value for kind in EventType} == {
        *("restore.run.created", "restore.run.imported", "restore.run.transitioned"),
        *("restore.run.transition_refused", "restore.operation.created", "restore.operation.imported"),
        *("restore.operation.transitioned", "restore.evidence.created", "restore.evidence.imported"),
        *(
            "restore.evidence.transitioned",
            "restore.evidence.reviewed",
            "restore.link.conflicted",
            "restore.decision.projected",
        ),
        *("restore.decision.listed", "access.granted", "access.revoked", "environment.declared", "machine.defined"),
        *("audit.exported", "audit.key_rotated", "audit.gap_declared", "audit.redacted", "audit.held"),
        *(
            "audit.hold_released",
            "audit.pruned",
            "audit.restore_declared",
            "audit.moved",
            "audit.arrived",
            "access.denied",
        ),
        *("token.created", "token.revoked", "access.link_made", "access.signed_in", "access.signed_out"),
        *("worker.registered", "worker.retired", "worker.lost", "environment.released"),
        *("source.registered", "source.retired"),
        *("drill.declared", "drill.retired", "drill.fired", "drill.missed"),
    }
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
        msgspec.convert({**msgspec.to_builtins(entry_of({})), "type": "restore.run.vanished"}, Entry)
