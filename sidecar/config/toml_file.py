"""A TOML file against msgspec's types: what it says, or every mistake in it, each with its line, its field and what is allowed.

Law: it knows types, and no option. msgspec stops at the first mistake and shows each key of a table as `[...]`; so this
module walks the tables, and msgspec checks one value at a time.
"""

from __future__ import annotations

import contextlib
import datetime
import difflib
import functools
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import inspect

from sidecar.config.toml_lines import Lines, field_of
from sidecar.errors import MistakesError, XbotError, at, some
from sidecar.inputs import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
Mistake = tuple[str, str]  # the field, and why it is one


@dataclass(frozen=True)
class Doc:
    """An annotation of an option: what it does, what holds without it where its default does not say so, and its old name."""

    text: str
    without: str = ""
    once: str = ""


def doc_of(kind: Any) -> Doc | None:
    """The Doc of an option's type."""
    return next((each for each in getattr(kind, "__metadata__", ()) if isinstance(each, Doc)), None)


def load(path: Path, kind: type[T], more: Callable[[T], Iterable[Mistake]]) -> tuple[T, dict[str, str]]:
    """The file as a struct of this kind, and the options that it calls by an old name: field -> field as the file has it.
    `more` finds the mistakes that no type shows, in what is left when those that types show are taken out. UnsoundError if there is
    any, XbotError if the file cannot be read."""
    text = read_text(path)
    data = _parsed(path, text)
    old: dict[str, str] = {}
    mistakes = list(_renamed(data, kind, "", old))
    mistakes += _wrong_types(data, kind, "")
    sound = None
    with contextlib.suppress(msgspec.ValidationError):  # what is left makes no sense by itself
        sound = msgspec.convert(data, kind)
        mistakes += more(sound)
    if sound is not None and not mistakes:
        return sound, old
    mistakes = [(old.get(field, field), why) for field, why in mistakes]
    lines = _lines(text)
    mistakes.sort(key=lambda mistake: lines.of(mistake[0]) or 0)
    raise UnsoundError([_line(path, text, *mistake) for mistake in mistakes], sound)


class UnsoundError(MistakesError):
    """Every mistake in a file; and `sound`, what the file says beside those that types show, None if that is nothing by itself."""

    def __init__(self, lines: Sequence[str], sound: Any) -> None:
        super().__init__(lines)
        self.sound = sound


def mistake(path: Path, field: str, why: str) -> XbotError:
    """The error for a mistake that shows later."""
    return XbotError(_line(path, read_text(path), field, why))


def _line(path: Path, text: str, field: str, why: str) -> str:
    return f"{at(path, _lines(text).of(field))}: {field}: {why}"


_lines = functools.lru_cache(maxsize=1)(Lines)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise XbotError(f"{path}: not TOML: nested too deeply") from None
    except ValueError as error:  # of the parser, or of a number with thousands of digits
        why, _, where = str(error).partition(" (at ")
        found = re.search(r"line (\d+)", where)
    line = int(found.group(1)) if found else Lines(text).unfinished
    key = re.match(r"\s*([\w.-]+)\s*=", (text.split("\n")[line - 1 : line] or [""])[0])
    if twice := re.match(r"Cannot declare \((.*?),?\) twice", why):
        why = f"[{twice.group(1).replace(chr(39), '').replace(', ', '.')}] is there already"
    elif why == "Cannot overwrite a value":
        why = "is there already"
    elif not found:
        why = "not TOML: it does not end"
    else:
        hint = "; text stands in quotes" if why == "Invalid value" else ""
        why = f"not TOML: {why[:1].lower()}{why[1:]}{hint}"
    raise XbotError(": ".join(filter(None, (at(path, line), key and key.group(1), why))))


def _renamed(value: Any, kind: Any, field: str, old: dict[str, str]) -> Iterator[Mistake]:
    """Gives options their new names, in place, and notes them in `old`. (field, why) of each that has both names."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        for each in msgspec.structs.fields(kind):
            doc = doc_of(each.type)
            if doc and doc.once in value:
                if each.name in value:
                    yield field_of(field, doc.once), f"is the old name of {each.name}, which is there too"
                else:
                    old[field_of(field, each.name)] = field_of(field, doc.once)
                value.setdefault(each.name, value.pop(doc.once))
            if each.name in value:
                yield from _renamed(value[each.name], _plain(each.type), field_of(field, each.name), old)
    elif origin is dict and isinstance(value, dict):
        for name, one in value.items():
            yield from _renamed(one, inner[1], field_of(field, name), old)


def _plain(kind: Any) -> Any:
    """The type without its Doc."""
    if get_origin(kind) is not Annotated:
        return kind
    rest = tuple(each for each in kind.__metadata__ if not isinstance(each, Doc))
    return Annotated[(kind.__origin__, *rest)] if rest else kind.__origin__


def _wrong_types(value: Any, kind: Any, field: str) -> list[Mistake]:
    """(field, why) of each value, and each missing one, that the type does not allow: msgspec tells of one alone. Options that are
    wrong are taken out, lists whole; a table that is none is left where its name may be meant by others."""
    origin, inner = get_origin(kind), get_args(kind)
    mistakes: list[Mistake] = []
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        known = {each.name: each for each in msgspec.structs.fields(kind)}
        mistakes += (
            (field_of(field, name), "is missing") for name in known if known[name].required and name not in value
        )
        for name, each in list(value.items()):
            own = field_of(field, name)
            wrong = [(own, f"no such option; {meant(name, known)}")]
            if name in known:
                wrong = _wrong_types(each, _plain(known[name].type), own)
            if any(isinstance(each, list) or place == own for place, _ in wrong):
                del value[name]
            mistakes += wrong
    elif origin is dict and isinstance(value, dict):
        for name, each in value.items():
            mistakes += _wrong_types(each, inner[1], field_of(field, name))
    elif origin is tuple and isinstance(value, list):
        for i, each in enumerate(value):
            mistakes += _wrong_types(each, inner[0], f"{field}[{i}]")
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            mistakes.append((field, f"{_shown(value)} is not {allowed(kind).format(field=field)}"))
    return mistakes


def allowed(kind: Any) -> str:
    """What an option of this type may be, for people."""
    found = inspect.type_info(kind) if not isinstance(kind, inspect.Type) else kind
    match found:
        case inspect.Metadata(extra_json_schema={"description": str(text)}):
            return text
        case inspect.UnionType(types=(first, _)):
            return allowed(first)
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.VarTupleType(item_type=inspect.StructType()):
            return "a list of tables: [[{field}]]"
        case inspect.VarTupleType(item_type=item):
            return f"a list of {allowed(item)}"
        case inspect.DictType():
            return "a table of tables: [{field}.NAME]"
        case _:
            return "a table"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def _shown(value: Any) -> str:
    try:
        plain = isinstance(value, (bool, datetime.date, datetime.time))
        return str(value).lower() if plain else _short.repr(value)
    except ValueError:  # a number with thousands of digits
        return type(value).__name__


def meant(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest of `known`, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"is {near[0]} meant?" if near else f"there are {some(known)}"
