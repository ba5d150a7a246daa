"""``proofgap audit bundle`` and ``audit verify BUNDLE``, as auditors and their scripts meet them."""

from __future__ import annotations

import zipfile

import pytest


@pytest.fixture
def run_id(cli):
    """A draft with stated objectives."""
    objectives = ("--rto", "4h", "--rpo", "24h", "--recovery-point", "2026-11-21T02:00:00Z")
    return cli.ok("run", "create", "nightly", "--into", "staging", *objectives, "--json").json["run_id"]


def policy_of(cli, key):
    """Write the policy of an auditor who was given this key."""
    (cli.folder / "policy.txt").write_text(f"log {key}\nquorum none\n")
    return str(cli.folder / "policy.txt")


def test_a_bundle_is_made_and_verified_from_its_file_alone(cli, run_id, monkeypatch):
    monkeypatch.chdir(cli.folder)
    made = cli.ok("audit", "bundle", run_id, "--json").json
    assert (made["file"], made["run"]) == (f"{run_id}.zip", run_id)
    policy = policy_of(cli, made["key"])
    (cli.folder / "proofgap.db").unlink()
    good = cli("audit", "verify", made["file"], "--policy", policy)
    assert (good.code, good.out.splitlines()[-1]) == (0, f"OK. Held against: policy {policy}.")
    page = zipfile.ZipFile(made["file"]).read("index.html").decode()
    assert "4 h 0 min" in page
    assert "stated by whoever asked for the run" in page


def test_without_a_policy_the_key_to_compare_is_named_and_a_changed_bundle_is_tampered(cli, run_id):
    file = str(cli.folder / "b.zip")
    key = cli.ok("audit", "bundle", run_id, "--out", file, "--json").json["key"]
    unknown = cli("audit", "verify", file)
    assert unknown.code == 3
    assert key in unknown.out
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("more.html", "x")
    tampered = cli("audit", "verify", file, "--policy", policy_of(cli, key), "--json")
    assert (tampered.code, tampered.json["verdict"]) == (1, "TAMPERED")
    assert {finding["code"] for finding in tampered.json["findings"]} == {"FILE_FOREIGN"}


def test_a_second_bundle_names_the_first_one(cli, run_id):
    first, second = str(cli.folder / "1.zip"), str(cli.folder / "2.zip")
    key = cli.ok("audit", "bundle", run_id, "--out", first, "--json").json["key"]
    told = cli.ok("audit", "bundle", run_id, "--out", second, "--previous", first)
    assert key in told.out
    assert "by another way than the bundle" in told.err
    assert "consistency" in zipfile.ZipFile(second).namelist()
    assert cli("audit", "verify", second, "--policy", policy_of(cli, key)).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["audit", "bundle", "rr_unknown"], 7, "no restore run 'rr_unknown'"),
        (["audit", "bundle", "RUN", "--out", "TAKEN"], 2, "is there already. Name a new file."),
        (["audit", "bundle", "RUN", "--out", "missing/b.zip"], 2, "cannot be written"),
        (["audit", "bundle", "RUN", "--previous", "TAKEN"], 2, "--previous: 'TAKEN' is no bundle"),
        (["audit", "bundle", "RUN", "--previous", "missing.zip"], 2, "--previous: 'missing.zip' cannot be read"),
        (["audit", "verify", "TAKEN"], 2, "BUNDLE: 'TAKEN' is no bundle"),
        (["run", "create", "b", "--rto", "soon"], 2, "--rto: 'soon' is no duration"),
        (["run", "create", "b", "--recovery-point", "yesterday"], 2, "--recovery-point: 'yesterday' is no time"),
        (["run", "create", "b", "--recovery-point", "1969-12-31T00:00:00Z"], 2, "--recovery-point: is before 1970"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_no_file(cli, run_id, monkeypatch, arguments, code, says):
    monkeypatch.chdir(cli.folder)
    (cli.folder / "TAKEN").write_text("mine")
    before = {path.name for path in cli.folder.iterdir() if path.suffix == ".zip"}
    ran = cli(*(run_id if word == "RUN" else word for word in arguments))
    assert ran.code == code
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1
    assert {path.name for path in cli.folder.iterdir() if path.suffix == ".zip"} == before
    assert (cli.folder / "TAKEN").read_text() == "mine"


def test_a_pin_is_held_against_a_bundle_and_moves_on_when_all_is_well(cli, run_id):
    first, second, third = (str(cli.folder / f"{number}.zip") for number in range(3))
    pin = cli.folder / "pin"
    policy = policy_of(cli, cli.ok("audit", "bundle", run_id, "--out", first, "--json").json["key"])
    good = cli.ok("audit", "verify", first, "--policy", policy, "--pin", str(pin))
    seen = pin.read_text("utf-8")
    assert seen == zipfile.ZipFile(first).read("checkpoint").decode()
    size = seen.splitlines()[1]
    cli.ok("audit", "bundle", run_id, "--out", second)
    apart = cli("audit", "verify", second, "--policy", policy, "--pin", str(pin))
    assert apart.code == 3
    assert (
        f"CONSISTENCY_MISSING nothing leads from the earlier checkpoint to this one: from the checkpoint of {size} events"
        in apart.out
    )
    assert pin.read_text("utf-8") == seen
    cli.ok("audit", "bundle", run_id, "--out", third, "--previous", first)
    grown = cli.ok("audit", "verify", third, "--policy", policy, "--pin", str(pin))
    assert grown.out.splitlines()[-1] == f"OK. Held against: policy {policy}, and the checkpoint of {size} events."
    assert int(pin.read_text("utf-8").splitlines()[1]) > int(size)
    assert good.out.splitlines()[-1] == f"OK. Held against: policy {policy}."
    back = cli("audit", "verify", first, "--policy", policy, "--pin", str(pin))
    assert (back.code, "ROLLBACK" in back.out) == (1, True)


@pytest.mark.parametrize(
    "option",
    [("--since", "x"), ("--head", "x"), ("--jobs", "2"), ("--max-age", "1d"), ("--quick",), ("--ledger", "sqlite://")],
    ids=lambda option: option[0],
)
def test_an_option_that_does_not_apply_to_a_bundle_is_refused_in_one_line(cli, run_id, option):
    file = str(cli.folder / "b.zip")
    cli.ok("audit", "bundle", run_id, "--out", file)
    ran = cli("audit", "verify", file, *option)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert f"{option[0]}: does not apply to a bundle. Leave it out, or verify the ledger." in ran.err
