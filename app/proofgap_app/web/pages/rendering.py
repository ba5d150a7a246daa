"""From a view model to HTML: one environment of templates, in which nothing is printed unescaped.

Owns escaping: every value is written with the characters that nobody can see spelled out, then escaped for HTML: in
one step, since a page has some two hundred values, and the library's own way takes three calls for each. A template
that names what its view model does not have is an error. Refuses to know what is printed.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.compiler import CodeGenerator, Frame
from jinja2.nodes import Expr
from markupsafe import Markup
from typing_extensions import override

from proofgap.text import safe
from proofgap_app.web.pages import addresses
from proofgap_app.web.pages.sheet import Rail

PACKAGE = "proofgap_app.web.pages"
"""The package that templates and files are taken from."""

STATIC = "/static/"
"""Where the site serves its files."""

_TAG_LENGTH = 12


@cache
def environment() -> Environment:
    """Give the environment of the templates."""
    made = _Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_fit,
        auto_reload=False,
    )
    ours: Any = {"asset": asset, "at": addresses, "icon": icon, "lines": lines, "rail": rail}
    made.globals.update(ours)
    return made


def _fit(value: object) -> object:
    """Give a value without characters that nobody can see; markup of ours as it is. The library escapes it then."""
    return safe(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _html(value: Any) -> str:  # noqa: ANN401 - whatever a template prints
    """Give a value as it may stand in a page, in one step."""
    return str(value.__html__()) if hasattr(value, "__html__") else escape(safe(str(value)))


class _Generator(CodeGenerator):
    """Writes templates that print values by `_html`; whatever it leaves to its base is printed by `_fit` and escaped."""

    @override
    def _output_child_pre(self, node: Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.html(")

    @override
    def _output_child_post(self, node: Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")


class _Environment(Environment):
    code_generator_class: type[CodeGenerator] = _Generator
    html = staticmethod(_html)


def render(template: str, **values: object) -> str:
    """Write a page."""
    return environment().get_template(template).render(values)


@cache
def icon(name: str, size: int = 30) -> Any:  # noqa: ANN401 - markup, as the library has it
    """Give the markup of an icon; a list draws the same few again and again."""
    module: Any = environment().get_template("icons.html").module
    return module.icon(name, size)


@cache
def rail(found: Rail) -> Any:  # noqa: ANN401 - as above
    """Give the markup of a rail; runs without end have one of these few."""
    module: Any = environment().get_template("rail.html").module
    return module.rail(found)


def lines(text: str) -> Markup:
    """Give a text whose lines stay lines; what else nobody can see in it is spelled out."""
    return Markup(escape("\n".join(map(safe, text.split("\n")))))  # noqa: S704 - it is escaped


@cache
def asset(name: str) -> str:
    """Give the address of a file of ours; it changes with the content, so that a browser may keep it for ever."""
    content = files(PACKAGE).joinpath("static", name).read_bytes()
    return f"{STATIC}{name}?v={sha256(content).hexdigest()[:_TAG_LENGTH]}"
