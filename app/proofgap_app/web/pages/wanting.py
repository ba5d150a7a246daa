"""The form of a new run: what it asks, how what was sent is read, and which field an error is about.

What is asked beside backup and target follows from the driver: its options are fields of the form, each under the words
that the driver has for it. Pure functions. Refuses to know who may create a run, and to look at any backup (`creating`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from proofgap.errors import BadInputError
from proofgap.records import RunDetails
from proofgap.text import check_text, shown
from proofgap_app.web.pages import addresses, words
from proofgap_app.web.pages.forms import ONCE, Field, Form, once, said
from proofgap_app.worker.record import options_of

OPTION = "option."
"""What the name of a field begins with that is an option of the driver."""

TOOL = "tool"
"""The button that shows the form again, for another driver; what was typed stays."""

_FIXED = (
    *("scope", "driver", TOOL, "backup", "target", "select", "manifest", "password_file", "purpose"),
    *("overwrite", "expects_nothing", "dry", ONCE),
)
_PATHS = ("manifest", "password_file")
_TEXTS = ("backup", "target", "driver", "purpose", *_PATHS)
_NEEDED = {"backup": "Say what is to be restored.", "target": "Say where it is to be restored."}


def form_of(values: Mapping[str, str], options: Mapping[str, str], faults: Mapping[str, str]) -> Form:
    """Give the form, filled in.

    Args:
        values: what stands in its fields, by their names.
        options: the options of the driver, and what each is for.
        faults: what is wrong with what was sent, by the names of the fields.

    """
    known = tuple(Field(name, kind="hidden", value=values.get(name, "")) for name in ("scope", "driver"))
    filled = tuple(_filled(field, values, faults) for field in _fields(values.get("driver", ""), options))
    notes = ("A draft is made; nothing is written yet.",)
    return Form(
        "What, and where to", addresses.NEW, "Create draft", (*known, once(values.get(ONCE, "")), *filled), notes
    )


def _fields(driver: str, options: Mapping[str, str]) -> Iterator[Field]:
    named = "A path; or a tool, a colon and where it is, such as restic:/srv/repo#latest."
    as_it_is = f"As {driver} names it: a path, or a repository and what in it."
    yield Field("backup", "Backup", help=as_it_is if driver else named, is_needed=True)
    yield Field("target", "Target", help="Where it is restored: a directory, or a database.", is_needed=True)
    yield Field(
        "select", "Only", "lines", help="Patterns over items, such as etc/*, one a line. Without any: everything."
    )
    for name, meaning in options.items():
        yield Field(OPTION + name, f"Option {name}", help=words.sentence(meaning))
    yield Field("manifest", "Manifest", help="Path of a file of SHA-256 sums, as sha256sum writes them.")
    told = "Its path on the machine that executes, never the password."
    yield Field("password_file", "Password file", help=told)
    yield Field("purpose", "Purpose", help="Such as test, incident, migration.")
    yield Field("overwrite", "Replace what exists in the target and differs", "check", "yes")
    yield Field("expects_nothing", "An empty selection is right", "check", "yes")
    yield Field("dry", "Dry run: it only ever previews", "check", "yes")


def _filled(field: Field, values: Mapping[str, str], faults: Mapping[str, str]) -> Field:
    value = values.get(field.name, "")
    filled = (
        field._replace(kind="checked" if value else "check") if field.kind == "check" else field._replace(value=value)
    )
    return filled._replace(fault=faults.get(field.name, ""))


def values_of(details: RunDetails) -> dict[str, str]:
    """Give what a form is filled in with to want the same as an earlier run."""
    options = options_of(details)
    texts = {name: getattr(details, name) or "" for name in _TEXTS}
    marks = {name: "yes" for name in ("overwrite", "expects_nothing") if getattr(details, name)}
    return texts | marks | {"select": "\n".join(details.select)} | {OPTION + key: options[key] for key in options}


def demand_fields_of_ours(sent: Mapping[str, str]) -> None:
    """Refuse a form that holds what ours never does. Raises `BadInputError`, which names the field."""
    for name in sent:
        if name not in _FIXED and not name.startswith(OPTION):
            raise BadInputError(shown(name), "is no field of this form", "Send the form of the page as it is.")


def faults_of(sent: Mapping[str, str]) -> dict[str, str]:
    """Say what is wrong with each field by itself, as far as a look at it tells."""
    found = {name: f"Is missing. {remedy}" for name, remedy in _NEEDED.items() if not sent.get(name, "").strip()}
    for name, value in sent.items():
        try:
            _check_field(name, value.strip())
        except BadInputError as error:
            found[name] = said(error)
    return found


def _check_field(name: str, value: str) -> None:
    for line in lines_of(value) if name == "select" else (value,):
        check_text(name, line)
    if name in _PATHS and value and not PurePosixPath(value).is_absolute():
        raise BadInputError(name, f"'{shown(value)}' is no whole path", "Begin it with a slash.")


def place_of(error: BadInputError, options: Mapping[str, str]) -> str:
    """Give the field that an error is about; an option is named by what the error says of it. Empty: none of the form."""
    name = error.field.rpartition(".")[2].replace("-", "_")
    if name.rstrip("s") == "option":
        about = max((key for key in options if error.problem.startswith(key)), key=len, default="")
        return OPTION + about if about else ""
    return name if name in _FIXED and name not in {"driver", TOOL, ONCE} else ""  # which is chosen beside the form


def lines_of(text: str) -> tuple[str, ...]:
    """Give the lines of a text that say something."""
    return tuple(line.strip() for line in text.replace("\r\n", "\n").split("\n") if line.strip())


def details_of(sent: Mapping[str, str]) -> RunDetails:
    """Read what is wanted; each field was looked at before (`faults_of`)."""
    texts = {name: sent.get(name, "").strip() or None for name in _TEXTS}
    options = {name.removeprefix(OPTION): value.strip() for name, value in sent.items() if name.startswith(OPTION)}
    return RunDetails(
        backup=texts["backup"],
        target=texts["target"],
        driver=texts["driver"],
        purpose=texts["purpose"],
        manifest=texts["manifest"],
        password_file=texts["password_file"],
        select=lines_of(sent.get("select", "")),
        overwrite=bool(sent.get("overwrite")),
        expects_nothing=bool(sent.get("expects_nothing")),
        options=tuple(sorted(f"{key}={value}" for key, value in options.items() if value)),
    )
