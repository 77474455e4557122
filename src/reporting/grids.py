"""A table as text: what the page and the terminal show, without knowing of either."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """A table, as text."""

    caption: str
    """What it shows, and which intervals."""
    names: list[str]
    """Headings of the columns that name a row."""
    numbers: list[str]
    """Headings of the columns of numbers."""
    rows: list[tuple[list[str], list[str], bool]]
    """Names, numbers, and whether the row stands out."""
