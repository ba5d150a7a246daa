"""From a view model to HTML: one environment of templates, in which nothing is printed unescaped.

Owns escaping: every value is written with the characters that nobody can see spelled out, then escaped for HTML. A
template that names what its view model does not have is an error. Refuses to know what is printed.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from proofgap.text import safe
from proofgap_app.web.pages import addresses

PACKAGE = "proofgap_app.web.pages"
"""The package that templates and files are taken from."""

STATIC = "/static/"
"""Where the site serves its files."""

_TAG_LENGTH = 12


@cache
def environment() -> Environment:
    """Give the environment of the templates."""
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        auto_reload=False,
    )
    ours: Any = {"asset": asset, "at": addresses, "icon": icon}
    made.globals.update(ours)
    return made


def _shown(value: object) -> object:
    """Give a value as it may stand in a page: text with every unfit character escaped; markup of ours as it is."""
    return safe(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def render(template: str, **values: object) -> str:
    """Write a page."""
    return environment().get_template(template).render(values)


@cache
def icon(name: str, size: int = 30) -> Any:  # noqa: ANN401 - markup, as the library has it
    """Give the markup of an icon; a list draws the same few again and again."""
    module: Any = environment().get_template("icons.html").module
    return module.icon(name, size)


@cache
def asset(name: str) -> str:
    """Give the address of a file of ours; it changes with the content, so that a browser may keep it for ever."""
    content = files(PACKAGE).joinpath("static", name).read_bytes()
    return f"{STATIC}{name}?v={sha256(content).hexdigest()[:_TAG_LENGTH]}"
