"""The documents say everything that they promise to list."""

from __future__ import annotations

import sys
from pathlib import Path

from proofgap.audit import EventType
from proofgap.findings import Code, Verdict
from proofgap_app.drivers import borg_repository, names, restic_repository

DOCS = Path(__file__).parents[1] / "docs"


def test_every_code_and_every_verdict_of_a_verification_is_explained():
    text = (DOCS / "verifying.md").read_text("utf-8")
    assert [code for code in Code if f"`{code}`" not in text] == []
    assert [verdict for verdict in Verdict if f"| {verdict.name} |" not in text] == []


def test_every_type_of_event_is_explained():
    text = (DOCS / "audit-format.md").read_text("utf-8")
    spelled = text.replace("`.transitioned`, `.imported`", "")
    short = {kind for kind in EventType if kind.startswith(("restore.operation.", "restore.evidence."))}
    assert [kind for kind in EventType if f"`{kind}`" not in spelled and kind not in short] == []


def test_every_driver_and_every_option_of_our_tools_is_explained():
    text = (DOCS / "drivers.md").read_text("utf-8")
    assert [name for name in names() if f"| `{name}` |" not in text] == []
    assert [
        option for option in (*restic_repository.OPTIONS, *borg_repository.OPTIONS) if f"`{option}=" not in text
    ] == []


def test_the_second_verifier_is_short_and_imports_nothing_of_ours():
    text = (Path(__file__).parent / "second_verifier.py").read_text("utf-8")
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert len(text.splitlines()) < 200
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
