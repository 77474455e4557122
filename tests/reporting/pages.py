"""Reads a page with the standard library's parser: elements, text, tables, and what it refers to."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "link", "input"}


@dataclass
class Page(HTMLParser):
    """What a browser would see."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    """Caption to rows of cells, heading first."""
    alerts: list[str] = field(default_factory=list)
    """Texts of elements with the role alert."""
    text: str = ""
    """All visible text."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))
        if tag == "caption":
            self.caption, self.rows = "", []
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if attributes.get("role") == "alert":
            self.alerts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "style" in tags:
            return
        self.text += data
        if "caption" in tags:
            self.caption += data
        elif tags and {"th", "td"} & set(tags):
            self.rows[-1][-1] += data
        if any(attributes.get("role") == "alert" for _, attributes in self.open):
            self.alerts[-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
