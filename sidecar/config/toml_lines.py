"""From a field of a TOML file (`policies.login.mode`, `listen[1].address`) to the line that it stands on.

Law: the parser does not tell lines, so each statement is parsed alone, with one more line each time until it is complete. This
works for every way to write TOML, and it is only done for a file that has a mistake.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DEPTH = 5  # of tables in tables: no option lies deeper
_MAY_END = re.compile(r"[]}]|\"{3}|'{3}")  # what the last line of a statement holds, if it has several


def field_of(field: str, key: str) -> str:
    """The name of an option `key` in the table `field`; "" is the whole file."""
    shown = key if re.fullmatch(r"[\w-]+", key) else repr(key)
    return f"{field}.{shown}" if field else shown


class Lines:
    """The lines of one text; each begins at 1."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at: dict[str, tuple[int, int]] = {}  # the first and the last line of a field's statement
        self._elements: dict[int, list[int]] = {}  # the line of each element, by the list's first line
        self.unfinished = 1  # where the statement begins that the text breaks off in, if it does
        table, tables = "", dict[str, int]()
        for first, last, said in self._statements():
            if self._lines[first - 1].lstrip().startswith("["):
                table = self._header(said, tables, (first, last))
            else:
                self._note(table, said, (first, last))

    def of(self, field: str) -> int | None:
        """The line of a field or, in a list that goes over several lines, of its element; where there is no such field,
        of what it would be in; or None."""
        while field and field not in self._at:
            element = re.fullmatch(r"(.+)\[(\d+)\]", field, re.DOTALL)
            if element and element[1] in self._at:
                return self._element(*self._at[element[1]], int(element[2]))
            field = re.sub(r"(\[\d+\]|\.?[^.\[\]]+|.)\Z", "", field, flags=re.DOTALL)
        return self._at[field][0] if field else None

    def _statements(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """(first line, last line, what it says) of each statement."""
        for last, line in enumerate(self._lines, 1):
            if last > self.unfinished and not _MAY_END.search(line):
                continue  # inside a list, which may be long
            said = _parsed(self._lines[self.unfinished - 1 : last])
            if said is None:
                continue
            if said:
                yield self.unfinished, last, said
            self.unfinished = last + 1

    def _header(self, said: dict[str, Any], tables: dict[str, int], lines: tuple[int, int]) -> str:
        """Notes [a.b] or [[a]], and returns its field. `tables` counts those that are lists."""
        field, inner = "", said
        while inner:
            key, value = next(iter(inner.items()))
            field = field_of(field, key)
            if isinstance(value, list):
                self._at.setdefault(field, lines)
                tables[field] = tables.get(field, -1) + 1
                inner = {}
            else:
                inner = value
            if field in tables:
                field += f"[{tables[field]}]"
            self._at.setdefault(field, lines)
        return field

    def _note(self, field: str, said: Any, lines: tuple[int, int], depth: int = 0) -> None:
        inner = said.items() if isinstance(said, dict) else ()
        for key, value in inner if depth < _DEPTH else ():
            name = field_of(field, key)
            self._at.setdefault(name, lines)
            self._note(name, value, lines, depth + 1)

    def _element(self, first: int, last: int, index: int) -> int:
        """The line on which an element of a list ends. Each line of the list is taken for a list."""
        if first not in self._elements:
            found, begin, opened = list[int](), first, ""
            for line in range(first, last):
                part = _parsed([opened, *self._lines[begin - 1 : line], "]"])
                if part is not None:
                    while isinstance(part, dict):
                        (part,) = part.values()
                    found += [line] * len(part)
                    begin, opened = line + 1, "_ = ["
            self._elements[first] = found
        return self._elements[first][index] if index < len(self._elements[first]) else last


def _parsed(lines: list[str]) -> Any:
    """What these lines say alone; None if they are not whole."""
    try:
        return tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return None
