"""Drivers: each turns one kind of backup into a plan, a preview, an execution and evidence.

Theory. A driver is an entry point of the group ``proofgap.drivers``, our own as well as anybody's: its name is what
``--driver`` takes, and its value a class without arguments that offers what `base.Driver` says. It is loaded when it is asked
for, so that one that is broken is an error of that driver, and of nothing else.

A backup is named as ``NAME:WHERE``, such as ``restic:/srv/repo#latest``, where NAME is an installed driver; what WHERE means
is that driver's business. Anything else is the path of a file or a directory, and its content says which driver it needs.
What a request says goes on record as it is, so that any worker can execute it; a secret in it is refused.

Owns the choice of the driver. Refuses to know runs, ledgers and workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from proofgap.errors import BadInputError
from proofgap.text import check_text, shown
from proofgap_app.drivers.base import Driver, Request
from proofgap_app.drivers.detect import is_database
from proofgap_app.drivers.places import existing
from proofgap_app.drivers.secrets import refuse_secrets

__all__ = ["GROUP", "chosen", "driver_for", "is_usable", "names", "options_of", "told_apart", "usable"]

GROUP = "proofgap.drivers"
"""The group of entry points that drivers are found in."""

_ANEW = "Install that package anew, or another version of it."
_OFFERED = ("name", "options", "settled", "plan", "preview", "place", "fingerprint", "execute", "collect")


def names() -> tuple[str, ...]:
    """List the names of all installed drivers, broken ones included."""
    return tuple(sorted({point.name for point in _installed()}))


def usable() -> tuple[str, ...]:
    """Give the names of the drivers that work here: one may lack a package that it needs, or be broken."""
    return tuple(filter(is_usable, names()))


def is_usable(name: str) -> bool:
    """Tell whether there is such a driver here that works."""
    try:
        driver_for(name, Path())
    except BadInputError:
        return False
    return True


def options_of(name: str) -> Mapping[str, str]:
    """Give the options of a driver by their names, and what each is for.

    Raises:
        BadInputError: there is no such driver, or it is broken.

    """
    return driver_for(name, Path()).options


def chosen(name: str | None, wanted: Request) -> tuple[Driver, Request]:
    """Give the driver that a request asks for, and the request as it goes on record.

    Args:
        name: the driver; ``None``: as the backup's name, or its content, says.
        wanted: the request as its user put it; its backup may begin with the name of a driver and a colon.

    Raises:
        BadInputError: there is no such driver, or it is broken, or it cannot mean this; or the request holds a secret.
        SourceError: the backup cannot be read, and nobody said which driver it needs.

    """
    _check_texts(wanted)
    refuse_secrets(wanted)
    name, backup = told_apart(name, wanted.backup)
    wanted = replace(wanted, backup=backup)
    if name is None:
        scheme, colon, _ = backup.partition(":")
        _existing(backup, scheme if colon else "")
    driver = driver_for(name, wanted.backup_path)
    return driver, driver.settled(wanted)


def told_apart(name: str | None, backup: str) -> tuple[str | None, str]:
    """Tell the driver from where the backup is, in a name such as ``restic:/srv/repo``; nothing is looked at."""
    scheme, colon, where = backup.partition(":")
    return (scheme, where) if name is None and colon and scheme in names() else (name, backup)


def _existing(backup: str, scheme: str) -> None:
    """Look whether there is such a backup; what looks like the name of a driver is answered with those that are installed."""
    try:
        existing("backup", backup)
    except BadInputError as error:
        if not scheme.isidentifier():
            raise
        remedy = f"{error.remedy} Or name a driver that is installed here before the colon: {', '.join(names())}."
        raise BadInputError(error.field, error.problem, remedy) from None


def driver_for(name: str | None, backup: Path) -> Driver:
    """Give the driver of that name; without one, the driver that the backup's content asks for.

    Raises `BadInputError` for a name that does not exist, or stands for no driver, and `SourceError` when the backup cannot
    be read.
    """
    wanted = name or ("sqlite" if is_database(backup) else "files")
    found = [point for point in _installed() if point.name == wanted]
    if not found:
        remedy = f"Use one of: {', '.join(names())}; or install the package that has it."
        raise BadInputError("driver", f"'{shown(wanted)}' is not a driver", remedy)
    if len(found) > 1:
        packages = ", ".join(sorted(map(_package, found)))
        raise BadInputError("driver", f"'{wanted}' is offered by several packages: {packages}", "Remove all but one.")
    return _loaded(found[0])


def _installed() -> Iterable[EntryPoint]:
    # The same package may be on the path twice, as in a virtual environment that sees another one.
    return set(entry_points(group=GROUP))


def _loaded(point: EntryPoint) -> Driver:
    try:
        driver: Driver = point.load()()
        missing = [name for name in _OFFERED if not hasattr(driver, name)]
    except Exception as error:
        raise _broken(point, f"{type(error).__name__}: {error}", _remedy_for(error, point)) from error
    if missing:
        raise _broken(point, f"it lacks {', '.join(missing)}")
    if driver.name != point.name:
        raise _broken(point, f"it calls itself '{driver.name}'")
    return driver


def _remedy_for(error: Exception, point: EntryPoint) -> str:
    """Name the extra that brings a package which is not there, where the entry point names one."""
    if isinstance(error, ModuleNotFoundError) and point.extras and point.dist is not None:
        return f"Install what it needs: pip install '{point.dist.name}[{point.extras[0]}]'."
    return _ANEW


def _broken(point: EntryPoint, reason: str, remedy: str = _ANEW) -> BadInputError:
    problem = f"'{point.name}' of {_package(point)} cannot be used ({shown(reason, length_max=300)})"
    return BadInputError("driver", problem, remedy)


def _package(point: EntryPoint) -> str:
    return "a package without a name" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _check_texts(wanted: Request) -> None:
    for field, value in (("backup", wanted.backup), ("target", wanted.target)):
        if not check_text(field, value):
            raise BadInputError(field, "is empty", "Say what is to be restored, and where to.")
    for pattern in wanted.select:
        check_text("select", pattern)
    for key, value in wanted.options.items():
        check_text("option", f"{key}={value}")
