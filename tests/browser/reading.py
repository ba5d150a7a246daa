"""Pages as text: what a person reads of a piece of HTML, line by line, and which of it lists forbidden claims."""

from __future__ import annotations

from html.parser import HTMLParser

_BLOCKS = {
    "p",
    "h1",
    "h2",
    "h3",
    "li",
    "dt",
    "dd",
    "div",
    "section",
    "ol",
    "ul",
    "dl",
    "tr",
    "header",
    "summary",
    "pre",
    "title",
}
_VOID = {"meta", "link", "input", "br", "img", "path", "circle", "rect"}
_UNREAD = {"script", "style", "defs"}


class _Reader(HTMLParser):
    def __init__(self, wanted: str | None, *, with_forbidden: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.wanted, self.with_forbidden = wanted, with_forbidden
        self.open: list[tuple[str, bool, bool]] = []  # name, is it read, is it a list of what is forbidden
        self.lines = [""]
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    @property
    def _reads(self) -> bool:
        inside = self.wanted is None or any(is_wanted for _, is_wanted, _ in self.open)
        listed = any(forbidden for *_, forbidden in self.open)
        return inside and (self.with_forbidden or not listed) and not any(name in _UNREAD for name, *_ in self.open)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag in _BLOCKS or tag == "br":
            self.lines.append("")
        if tag not in _VOID:
            self.open.append((tag, found.get("id") == self.wanted, "data-forbidden" in found))

    def handle_endtag(self, tag):
        if tag in _BLOCKS:
            self.lines.append("")
        if tag not in _VOID:
            assert self.open.pop()[0] == tag, f"{tag} closes what is not open"

    def handle_data(self, data):
        if self._reads:
            self.lines[-1] += data


def _read(html: str, wanted: str | None = None, *, with_forbidden: bool = True) -> _Reader:
    reader = _Reader(wanted, with_forbidden=with_forbidden)
    reader.feed(html)
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    return reader


def text_of(html: str, wanted: str | None = None, *, with_forbidden: bool = True) -> str:
    """Give what is read of a page, or of the element with an id; without the lists of what is forbidden, if asked."""
    lines = _read(html, wanted, with_forbidden=with_forbidden).lines
    return "\n".join(" ".join(line.split()) for line in lines if line.strip()) + "\n"


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """Give every element of a page with its attributes."""
    return _read(html).tags
