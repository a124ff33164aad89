"""Writes the tables of options in docs/configuration.md from the rows of the code: `make docs`; a test holds them current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from sidecar.config import options, toml_file

PAGE = Path(__file__).with_name("configuration.md")
# The heading above each table, and the struct whose fields are its rows.
TABLES = {
    "## The file": options.Config,
    "## `[[listen]]`": options.Listen,
    "## `[log]`": options.Log,
    "## `[limits]`": options.Limits,
    "## `[dns]`": options.Dns,
    "## `[signatures]`": options.Signatures,
    "## `[clients]`": options.Clients,
    "## `[decisions]`": options.Decisions,
    "## `[policies.NAME]`": options.Policy,
    "## `[lists.NAME]`": options.Entries,
}
TABLE = re.compile(r"\| option \|.*\n(?:\|.*\n)+")


def row(field: msgspec.structs.FieldInfo, doc: toml_file.Doc) -> str:
    """A row of a table."""
    default = "required" if field.required else doc.without or f"`{as_toml(field.default)}`"
    return f"| `{field.name}` | {toml_file.allowed(field.type)} | {default} | {doc.text} |\n"


def as_toml(value: Any) -> str:
    """A default as the file would say it."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def table(kind: type[msgspec.Struct]) -> str:
    """The table of a struct's options; a field without a Doc is a table of its own."""
    documented = [(field, toml_file.doc_of(field.type)) for field in msgspec.structs.fields(kind)]
    rows = [row(field, doc) for field, doc in documented if doc]
    return "| option | what is allowed | default | what it does |\n|---|---|---|---|\n" + "".join(rows)


def page(text: str) -> str:
    """The page with its tables made anew; what people wrote around them stays."""
    for heading, kind in TABLES.items():
        found = TABLE.search(text, text.index(f"\n{heading}\n"))
        if found is None:
            raise ValueError(f"{PAGE}: no table below {heading}")
        text = text[: found.start()] + table(kind) + text[found.end() :]
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
