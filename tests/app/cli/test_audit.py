"""What auditors ask on the command line, and what people and programs get for an answer."""

from __future__ import annotations

import json
import re
import threading
from hashlib import sha256

import pytest

from proofgap.audit import Actor, EventType, leaf_hash
from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap.decision import RULES
from proofgap_app.cli import audit_reading, stays
from proofgap_store import Ledger, NewRun
from proofgap_store.clock import operating_system_user
from proofgap_store.sqlite_library import sqlite
from tests.app.cli.test_streams import in_a_terminal, is_green

_SGR = re.compile(r"\x1b\[([\d;]*)m")
HOSTILE = "'; DROP TABLE audit_event; --"


@pytest.fixture
def run(cli):
    """A run that has ended and was proven, and an attempt on it that was refused."""
    run_id = cli.in_state("completed_with_evidence")
    assert cli("run", "fire", run_id, "start").code == 5
    cli.ok("show", run_id)
    return run_id


# audit list


def test_a_list_for_programs_holds_every_event_whole_and_says_where_it_goes_on(cli, run):
    page = cli.ok("audit", "list", "--limit", "3", "--json").json
    numbers = [item["event_id"] for item in page["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert page["next"] == str(numbers[-1])
    following = cli.ok("audit", "list", "--limit", "3", "--after", page["next"], "--json").json
    assert following["items"][0]["event_id"] == numbers[-1] - 1
    assert {"event_id", "leaf", "entry", "openings"} == set(page["items"][0])


def test_a_list_in_a_pipe_is_one_line_an_event_separated_by_tabs(cli, run):
    lines = cli.ok("audit", "list", "--run", run).out.splitlines()
    rows = [line.split("\t") for line in lines]
    assert {len(row) for row in rows} == {6}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", row[1]) for row in rows)
    assert rows[0][2:] == [
        *("owner", "restore.decision.projected", run),
        "completed_with_evidence (rule 7), shown to owner",
    ]
    assert ["restore.run.transition_refused", run, "start refused while completed"] in [row[3:] for row in rows]
    assert ["restore.run.transitioned", run, "start: queued → running"] in [row[3:] for row in rows]


def test_a_page_that_is_not_the_last_names_the_way_on(cli, run):
    shown = cli.ok("audit", "list", "--limit", "2")
    assert re.search(r"--after \d+\n", shown.err)
    assert cli.ok("audit", "list", "--actor", "nobody").err == "No events match.\n"


REFUSALS = {"restore.run.transition_refused", "access.denied"}
FILTERS = {
    "refused": (["--refused"], lambda entry: entry["type"] in REFUSALS),
    "type": (["--type", "access.granted"], lambda entry: entry["type"] == "access.granted"),
    "types": (
        ["--type", "access.granted", "--type", "machine.defined"],
        lambda entry: entry["type"] in {"access.granted", "machine.defined"},
    ),
    "actor": (["--actor", "owner"], lambda entry: entry["actor"]["id"] == "owner"),
    "stream": (["--stream", "system/ledger"], lambda entry: entry["stream"] == "system/ledger"),
    "workspace": (["--workspace", "default"], lambda entry: entry["ws"] == "default"),
    "environment": (["--environment", "local"], lambda entry: entry["env"] == "local"),
    "state": (
        ["--state", "failed"],
        lambda entry: entry["data"].get("decision", {}).get("state") == "failed",
    ),
    "from": (["--from", "2999-01-01T00:00:00Z"], lambda entry: False),
    "to": (["--to", "2999-01-01T00:00:00+01:00"], lambda entry: True),
    "from before all time": (["--from", "0001-01-01T00:00:00Z"], lambda entry: True),
    "to after all time": (["--to", "9999-12-31T23:59:59Z"], lambda entry: True),
}


@pytest.mark.parametrize(("options", "test"), FILTERS.values(), ids=FILTERS)
def test_each_filter_leaves_what_it_says(cli, run, options, test):
    cli.in_state("failed")
    cli.ok("grant", "vera", "viewer")
    cli.as_user("vera")
    assert cli("run", "create", "nightly", "--into", "staging").code == 4
    cli.as_user("owner")
    everything = cli.ok("audit", "list", "--limit", "500", "--json").json["items"]
    found = cli.ok("audit", "list", "--limit", "500", "--json", *options).json["items"]
    assert found == [item for item in everything if test(item["entry"])]


def test_from_and_to_are_times_of_recording_from_and_before(cli, run):
    rows = [line.split("\t") for line in cli.ok("audit", "list", "--oldest-first").out.splitlines()]
    when = rows[len(rows) // 2][1]
    later = cli.ok("audit", "list", "--oldest-first", "--from", when).out
    earlier = cli.ok("audit", "list", "--oldest-first", "--to", when).out
    assert earlier + later == cli.ok("audit", "list", "--oldest-first").out
    assert later.split("\t")[1] == when


def test_a_list_on_a_terminal_is_readable_at_80_columns_and_not_green(cli):
    cli.as_user(operating_system_user())
    cli.in_state("completed_with_evidence")
    cli.ok("list")
    page = in_a_terminal(cli, "audit", "list", "--limit", "500", COLUMNS="80")
    assert max(map(len, page.splitlines())) <= 80
    assert not [code for code in _SGR.findall(page) if is_green(code)]
    assert "complete: running → completed" in page


def test_words_of_an_event_stay_words_whatever_it_holds(cli, run):
    cli.ok("run", "create", "\\x1b[2J " + HOSTILE, "--into", '=1+1"')
    damage(cli, """UPDATE audit_event SET payload = json_set(payload, '$.data', 7) WHERE event_id = 5""")
    damage(
        cli,
        """UPDATE audit_event SET payload = json_set(payload, '$.actor', json('{"id": "\\u001b[2J"}')) WHERE event_id = 6""",
    )
    damage(cli, """UPDATE audit_event SET payload = json_set(payload, '$.rec_us', 9e300) WHERE event_id = 7""")
    damage(
        cli,
        """UPDATE audit_event SET payload = json_set(payload, '$.rec_us', 9000000000000000000) WHERE event_id = 8""",
    )
    for arguments in (
        ["list", "--limit", "500"],
        ["tail", "--lines", "500"],
        ["show", "5"],
        ["show", "6"],
        ["show", "7"],
    ):
        for form in ([], ["--json"]):
            result = cli.ok("audit", *arguments, *form)
            assert all(line.replace("\t", "").isprintable() for line in result.out.splitlines())


def damage(cli, *statements):
    """Change the log past its guards."""
    connection = sqlite.connect(str(cli.folder / "proofgap.db"), isolation_level=None)
    guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in guards:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount == 1
    for _, sql in guards:
        connection.execute(sql)
    connection.close()


def test_every_kind_of_event_has_its_words(cli, run):
    cli.ok("init", "--approvals-required", "2")
    cli.ok("grant", "udo", "auditor")
    stray = {
        "run": {"id": "x1", "workspace": "default", "environment": "local", "status": "draft", "is_dry_run": False}
    }
    stray["run"]["operation_run_id"] = "gone"
    cli.ok("import", "-", stdin=json.dumps(stray | {"operation": None, "evidence": []}).encode())
    cli.ok("list")
    cli.ok("audit", "export", str(cli.folder / "out"), "--run", "x1")
    said = {
        line.split("\t")[3]: line.split("\t")[5] for line in cli.ok("audit", "list", "--oldest-first").out.splitlines()
    }
    assert said["audit.exported"] == "3 events to out (jsonl)"
    assert said["restore.link.conflicted"] == "operation run gone"
    assert said["environment.declared"] == "approvals required: 2"
    assert said["access.granted"] == "auditor: udo"
    assert said["restore.decision.listed"] == "2 runs shown to owner"
    assert said["restore.run.imported"] == "draft"
    assert re.fullmatch(
        "evidence [0-9a-f]{12}", cli.ok("audit", "list", "--type", "machine.defined").out.split("\t")[5].splitlines()[0]
    )


# audit show


def test_one_event_is_shown_with_the_exact_bytes_that_its_leaf_is_the_hash_of(cli, run):
    listed = cli.ok("audit", "list", "--limit", "1", "--json").json["items"][0]
    for name in (str(listed["event_id"]), listed["entry"]["id"]):
        shown = cli.ok("audit", "show", name, "--json").json
        assert {key: shown[key] for key in listed} == listed
        assert leaf_hash(shown["payload"].encode()) == shown["leaf"]
        assert json.loads(shown["payload"]) == listed["entry"]


def test_one_event_for_people_holds_everything_that_it_says(cli, run):
    event = cli.ok("audit", "list", "--limit", "1", "--json").json["items"][0]
    page = cli.ok("audit", "show", str(event["event_id"])).out
    for said in (event["leaf"], event["entry"]["prev"], run, "default/local", "completed_with_evidence"):
        assert said in page
    (forbidden,) = [line for line in page.splitlines() if "forbidden" in line]
    assert all(claim in forbidden for claim in FORBIDDEN_CLAIMS)


# audit tail


def test_a_tail_prints_the_last_events_oldest_first(cli, run):
    newest = cli.ok("audit", "list", "--limit", "3").out.splitlines()
    assert cli.ok("audit", "tail", "--lines", "3").out.splitlines() == newest[::-1]
    assert cli.ok("audit", "tail", "--lines", "0").out == ""


def test_a_tail_that_follows_prints_each_new_event_once_until_it_is_interrupted(cli, run, monkeypatch):
    made = []

    def meanwhile(_seconds):
        if len(made) == 3:
            raise KeyboardInterrupt
        with Ledger.open(cli.url, create=False) as ledger:
            made.append(ledger.create(NewRun(), Actor(id="owner")).run_id)

    monkeypatch.setattr(audit_reading.time, "sleep", meanwhile)
    result = cli("audit", "tail", "--follow", "--type", "restore.run.created", "--lines", "1", "--json")
    assert (result.code, result.err) == (130, "")
    assert [json.loads(line)["entry"]["run"] for line in result.out.splitlines()] == [run, *made]


# audit export


def test_an_export_writes_a_file_and_a_manifest_that_fits_it(cli, run):
    file = cli.folder / "events.jsonl"
    manifest = cli.ok("audit", "export", str(file), "--run", run, "--json").json
    assert json.loads((cli.folder / "events.jsonl.manifest.json").read_bytes()) == manifest
    assert sha256(file.read_bytes()).hexdigest() == manifest["sha256"]
    assert {json.loads(line)["run"] for line in file.read_bytes().splitlines()} == {run}
    event = cli.ok("audit", "show", str(manifest["event"]["event_id"]), "--json").json
    assert (event["entry"]["type"], event["entry"]["data"]["sha256"]) == ("audit.exported", manifest["sha256"])


@pytest.mark.parametrize("form", ["jsonl", "csv", "cloudevents", "parquet"])
def test_every_form_is_written_and_people_are_told_what_and_where(cli, run, form):
    result = cli.ok("audit", "export", str(cli.folder / "out"), "--format", form)
    rows = dict(line.split("\t") for line in result.out.splitlines())
    assert rows["sha256"] == sha256((cli.folder / "out").read_bytes()).hexdigest()
    assert int(rows["events"]) > 10
    assert result.err == f"Manifest: {cli.folder / 'out'}.manifest.json\n"
    assert cli("audit", "export", str(cli.folder / "out"), "--format", form).code == 2, "nothing is overwritten"


def test_an_export_on_a_terminal_has_a_bar_that_is_not_green_and_cuts_no_value(cli):
    cli.as_user(operating_system_user())
    cli.in_state("failed")
    page = in_a_terminal(cli, "audit", "export", str(cli.folder / "out"), COLUMNS="80", COLORTERM="truecolor")
    assert "Writing the export" in page
    assert sha256((cli.folder / "out").read_bytes()).hexdigest() in page
    assert not [code for code in _SGR.findall(page) if is_green(code)]


# audit as-seen


def test_what_somebody_had_been_shown_is_told_with_the_event_that_proves_it(cli, run):
    shown = cli.ok("show", run, "--json").json
    seen = cli.ok("audit", "as-seen", "--actor", "owner", "--run", run, "--json").json
    assert (seen["event_id"], seen["recorded"], seen["decision"]) == (
        *(shown["event_id"], shown["as_of"]),
        shown["decision"],
    )
    assert leaf_hash(seen["event"]["payload"].encode()) == seen["event"]["leaf"]
    page = cli.ok("audit", "as-seen", "--actor", "owner", "--run", run, "--at", shown["as_of"]).out
    assert "Completed with evidence available" in page
    assert f"event\t{shown['event_id']}" in page


def test_a_list_counts_as_shown_and_before_the_first_time_there_was_nothing(cli, run):
    cli.ok("list")
    assert "as a row of a list" in cli.ok("audit", "as-seen", "--actor", "owner", "--run", run).out
    before = cli.ok("audit", "as-seen", "--actor", "owner", "--run", run, "--at", "2020-01-01T00:00:00Z")
    assert before.out == f"Nothing: owner had not been shown {run} by 2020-01-01T00:00:00.000000Z.\n"
    never = cli.ok("audit", "as-seen", "--actor", HOSTILE, "--run", run, "--json").json
    assert (never["event_id"], never["state"], never["event"]) == (None, None, None)


def test_of_a_list_over_foreign_runs_a_person_learns_that_there_is_more_that_they_may_not_see(cli, run):
    foreign = {"run": {"id": "foreign", "workspace": "w2", "environment": "e2", "status": "draft", "is_dry_run": False}}
    cli.ok("import", "-", stdin=json.dumps(foreign | {"operation": None, "evidence": []}).encode())
    cli.ok("list")
    cli.ok("grant", "udo", "auditor")
    cli.as_user("udo")
    result = cli.ok("audit", "as-seen", "--actor", "owner", "--run", run)
    assert "state\tcompleted_with_evidence" in result.out
    assert result.err == "The event also names runs that you may not see; its bytes are not shown.\n"
    assert "foreign" not in result.out


# decision


def test_why_says_the_facts_and_every_rule_up_to_the_one_that_decides(cli, run):
    page = cli.ok("decision", "why", run).out
    assert page.startswith("completed_with_evidence: Completed with evidence available\n")
    for rule, condition in RULES.items():
        verdict = "decides" if rule == 7 else "no" if rule < 7 else "not asked"
        assert re.search(rf"^  {rule}  {verdict} +{re.escape(condition)}$", page, re.MULTILINE)
    assert "48 total" in page
    answer = cli.ok("decision", "why", run, "--json").json
    assert answer["facts"]["run"]["status"] == "completed"
    assert [rule["state"] for rule in answer["rules"]] == [False] * 6 + [True, None, None]


def test_why_says_that_what_is_not_recorded_is_not_there(cli):
    page = cli.ok("decision", "why", cli.created()).out
    for name in ("operation run", "evidence", "counts", "item rows", "attention"):
        assert re.search(rf"^  {name} +-$", page, re.MULTILINE)


def test_the_history_of_a_decision_names_each_change_and_its_cause(cli, run):
    rows = [line.split("\t") for line in cli.ok("decision", "history", run).out.splitlines()]
    assert [row[1] for row in rows][:: len(rows) - 1] == ["not_executed", "completed_with_evidence"]
    assert [row[3] for row in rows if row[1] == "completed_with_evidence"] == ["evidence activate"]
    changes = cli.ok("decision", "history", run, "--json").json["changes"]
    assert [str(change["event_id"]) for change in changes] == [row[0] for row in rows]


def test_a_replay_of_an_honest_log_exits_with_0_and_of_a_forged_one_with_1_and_names_the_field(cli, run):
    honest = cli.ok("decision", "replay")
    assert re.fullmatch(r"\d+ projections decided anew, 0 differ\n", honest.out)
    why = cli.ok("decision", "why", run, "--json").json
    forge = "UPDATE audit_event SET payload = json_set(payload, '$.data.decision.state', 'failed') WHERE event_id = {}"
    damage(cli, forge.format(why["event_id"]))
    for arguments in ([], [run]):
        result = cli("decision", "replay", *arguments)
        assert result.code == 1
        assert result.out.splitlines()[1] == (
            f"event {why['event_id']}, run {run}, decision.state: "
            'logged "failed", decided anew "completed_with_evidence"'
        )
    result = cli("decision", "replay", "--json")
    assert (result.code, result.json["differing"]) == (1, 1)
    assert result.json["differences"][0]["field"] == "decision.state"


# machine table --durations


def test_the_time_in_each_status_is_a_table_with_percentiles(cli, run):
    head, *rows = [line.split("\t") for line in cli.ok("machine", "table", "--durations").out.splitlines()]
    assert head == ["Status", "Ended", "Median", "90 %", "99 %", "Longest"]
    counted = {row[0]: row[1] for row in rows}
    assert (counted["draft"], counted["running"], counted["completed"]) == ("1", "1", "0")
    found = cli.ok("machine", "table", "--durations", "--machine", "evidence", "--json").json
    assert [row["status"] for row in found["durations"]][:2] == ["queued", "generating"]
    assert {row["max_us"] for row in found["durations"] if not row["count"]} == {None}


def test_on_a_terminal_the_times_have_a_head_too(cli):
    cli.as_user(operating_system_user())
    cli.in_state("failed")
    assert "Median" in in_a_terminal(cli, "machine", "table", "--durations")
    assert "audit event" not in in_a_terminal(cli, "audit", "show", "1")


def test_the_table_of_moves_needs_no_ledger_and_takes_no_filter(cli):
    assert cli.ok("machine", "table").out
    assert list(cli.folder.iterdir()) == []
    for option in ("--workspace", "--environment", "--from", "--to"):
        result = cli("machine", "table", option, "2026-01-01T00:00:00Z")
        assert (result.code, result.out) == (2, "")
        assert option in result.err


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        *((None, None), (0, "0 us"), (999, "999 us"), (1_000, "1 ms"), (1_500_000, "1.5 s"), (59_990_000, "60 s")),
        *((90_000_000, "1.5 min"), (5_400_000_000, "1.5 h"), (86_400_000_000, "1 d"), (10**15, "11574 d")),
    ],
)
def test_a_length_of_time_is_written_in_its_largest_unit(microseconds, text):
    assert stays.length(microseconds) == text


# Who may, and what cannot be meant

COMMANDS = {
    "list": ["audit", "list"],
    "show": ["audit", "show", "1"],
    "tail": ["audit", "tail"],
    "export": ["audit", "export", "OUT"],
    "as-seen": ["audit", "as-seen", "--actor", "owner", "--run", "RUN"],
    "why": ["decision", "why", "RUN"],
    "history": ["decision", "history", "RUN"],
    "replay": ["decision", "replay"],
    "replay of a run": ["decision", "replay", "RUN"],
    "durations": ["machine", "table", "--durations"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("role", ["viewer", "operator", "worker", "auditor"])
def test_auditors_may_ask_and_nobody_else(cli, run, command, role):
    cli.ok("grant", "d.weber", role)
    cli.as_user("d.weber")
    places = {"RUN": run, "OUT": str(cli.folder / "out")}
    result = cli(*(places.get(word, word) for word in command))
    assert result.code == (0 if role == "auditor" else 4)
    assert (cli.folder / "out").exists() == (role == "auditor" and "OUT" in command)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_without_a_ledger_there_is_an_error_and_no_file(cli, command):
    places = {"OUT": str(cli.folder / "out")}
    result = cli(*(places.get(word, word) for word in command))
    assert (result.code, result.out) == (1, "")
    assert "Make one with: proofgap init." in result.err
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    "command", [COMMANDS["why"], COMMANDS["history"], COMMANDS["as-seen"], COMMANDS["replay of a run"]], ids="-".join
)
def test_an_unknown_run_and_a_foreign_one_exit_with_7_and_read_the_same(cli, run, command):
    said = []
    for name in ("unknown", run):
        if name == run:
            cli.as_user("stranger")
        result = cli(*(name if word == "RUN" else word for word in command))
        assert result.code == 7
        said.append(result.err.replace(name, "RUN"))
    assert said[0] == said[1]


NONSENSE = {
    "a type that is none": ["audit", "list", "--type", "run"],
    "a state that is none": ["audit", "list", "--state", "verified"],
    "a time without an offset": ["audit", "list", "--from", "2026-11-21"],
    "a time that is none": ["audit", "list", "--to", "yesterday"],
    "a limit that is too low": ["audit", "list", "--limit", "0"],
    "a limit that is too high": ["audit", "list", "--limit", "501"],
    "a place that is none": ["audit", "list", "--after", "\x1b[2J"],
    "a run with a line break": ["audit", "list", "--run", "a\nb"],
    "an event without a name": ["audit", "show", ""],
    "lines below nothing": ["audit", "tail", "--lines", "-1"],
    "no interval": ["audit", "tail", "--interval", "soon"],
    "a form that is none": ["audit", "export", "out", "--format", "xml"],
    "a file in no folder": ["audit", "export", "no/such/folder/out"],
    "a file with a steering name": ["audit", "export", "a\x1b[2Jb"],
    "a person without a name": ["audit", "as-seen", "--actor", " ", "--run", "r1"],
    "a moment that is none": ["audit", "as-seen", "--actor", "a", "--run", "r1", "--at", "now"],
    "a run without a name": ["decision", "why", ""],
    "a machine that is none": ["machine", "table", "--durations", "--machine", "coffee"],
}


@pytest.mark.parametrize("arguments", NONSENSE.values(), ids=NONSENSE)
def test_what_cannot_be_meant_is_refused_in_one_line(cli, monkeypatch, arguments):
    monkeypatch.chdir(cli.folder)
    cli.ok("init")
    before = sorted(cli.folder.iterdir())
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.strip().isprintable()
    assert sorted(cli.folder.iterdir()) == before


def test_no_type_of_event_is_unknown_to_the_command_line_and_none_is_without_words(cli, run):
    cli.ok("grant", "vera", "viewer")
    cli.as_user("vera")
    assert cli("run", "create", "nightly", "--into", "staging").code == 4
    assert cli("audit", "declare-gap", "--reason", "none").code == 4
    cli.as_user("owner")
    for kind in EventType:
        found = [line.split("\t") for line in cli.ok("audit", "list", "--type", kind).out.splitlines()]
        assert all(row[3] == kind for row in found)
        assert all(row[5] != "-" for row in found), kind
    assert "may not create runs environment default/local" in cli.ok("audit", "list", "--type", "access.denied").out
    assert "first key: " in cli.ok("audit", "list", "--type", "audit.key_rotated").out


def test_events_that_come_while_pages_are_read_move_no_page(cli, run):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            done = cli.program("run", "create", "meanwhile", "--into", "staging")
            assert done.returncode in {0, 7}

    first = cli.ok("audit", "list", "--limit", "500", "--json").json["items"]
    cli.ok("grant", operating_system_user(), "operator")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        found, after = [], str(first[0]["event_id"] + 1)
        while after is not None:
            page = cli.ok("audit", "list", "--limit", "5", "--after", after, "--json").json
            found, after = found + page["items"], page["next"]
    finally:
        stop.set()
        writer.join()
    assert found == first


# on a narrow terminal


@pytest.mark.parametrize("machine", ["run", "operation", "evidence"])
def test_the_table_of_a_machine_is_readable_at_80_columns(cli, machine):
    page = _SGR.sub("", in_a_terminal(cli, "machine", "table", "--machine", machine, COLUMNS="80"))
    assert max(map(len, page.splitlines())) <= 80
    edges = cli.ok("machine", "events", "--machine", machine, "--json").json["edges"]
    for edge in edges:
        assert edge["event"] in page
        assert edge["target"] in page


def test_the_doctor_cuts_nothing_at_80_columns(cli):
    cli.as_user(operating_system_user())
    cli.ok("init")
    cli.ok("audit", "checkpoint")
    page = in_a_terminal(cli, "doctor", COLUMNS="80")
    for line in cli.ok("doctor").out.splitlines():
        name, value = line.split("\t")
        if "ago" not in value:
            assert re.search(rf"{re.escape(name)}  +{re.escape(value)}", page), (name, page)


def test_a_replay_says_how_many_projections_were_pruned(cli, run):
    cli.ok("audit", "checkpoint")
    before = cli.ok("decision", "replay", "--json").json
    assert before["pruned"] == 0
    cli.ok("audit", "prune", "--before", "2100-01-01T00:00:00Z", "--export", str(cli.folder / "kept"))
    after = cli.ok("decision", "replay", "--json").json
    assert (after["projections"], after["pruned"]) == (0, before["projections"])
    said = cli.ok("decision", "replay").out
    assert said == (
        "0 projections decided anew, 0 differ\n"
        f"{before['projections']} projections not decided anew: pruned, and in the export that was kept\n"
    )
