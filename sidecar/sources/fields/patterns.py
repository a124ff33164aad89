"""A format by the string that made it: nginx's `log_format`, Apache's `LogFormat`.

Law: a line is read from left to right, once, in time that its length bounds. A field ends where the text behind it in the
pattern stands, and a quote that is escaped ends nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources.fields import variables

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DIRECTIVE = re.compile(r"\s*(log_format\s+\S+\s+|LogFormat\s+)(.*?);?\s*\Z", re.DOTALL)
_ESCAPE = re.compile(r"escape=(default|json|none)\s+")

# ---- what a program writes for bytes that it does not write as they are ----

_BACKSLASH = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_LETTERS = {letter: b"%c" % meaning for letter, meaning in zip(b"tnrbvfa", b"\t\n\r\b\v\f\a", strict=True)}


def _one_backslash(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes.fromhex(found[1].decode())
    return found[2] if found[2] in (b'"', b"\\") else _LETTERS.get(found[2][0], found[0])


def _default(value: bytes) -> bytes:
    return _BACKSLASH.sub(_one_backslash, value) if b"\\" in value else value


def _json(value: bytes) -> bytes:
    if b"\\" not in value:
        return value
    try:
        return variables.raw(json.loads(f'"{value.decode("utf-8", "surrogateescape")}"', strict=False))
    except ValueError:
        return value


def _hashes(value: bytes) -> bytes:
    return re.sub(rb"#([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), value) if b"#" in value else value


STYLES: dict[str, Callable[[bytes], bytes]] = {
    "default": _default,  # nginx and Apache: \xHH, \" and the letters of C
    "json": _json,  # nginx with escape=json
    "none": lambda value: value,
    "haproxy": _hashes,  # #HH
    "url": unquote_to_bytes,  # %HH
}

# ---- lines ----

# Behind a closing quote: nothing, or whole fields. csrc/request/quoted.h says why.
_FIELDS = re.compile(rb'(?:[ \t](?:[^ \t"]*[=:(,\[{])?"(?:[^"\\]|\\.)*"[;),\]}]*|[ \t][^ \t"]*)*\Z', re.DOTALL)
_MOST_QUOTES = 16


def _is_escaped(line: bytes, at: int) -> bool:
    before = at
    while before and line[before - 1 : before] == b"\\":
        before -= 1
    return (at - before) % 2 == 1


class Pattern:
    """Reads lines. `pieces`: each field's name, and the text that stands behind it; `lead` stands before the first."""

    def __init__(self, text: str, style: str = "default") -> None:
        """Of a string with nginx's variables; XbotError if it cannot tell where each field ends."""
        self._unescape, self._escapes = STYLES[style], style in ("default", "json")
        names, texts, end = [], [], 0
        for found in _VARIABLE.finditer(text):
            texts.append(text[end : found.start()].encode())
            names.append(found[1] or found[2])
            end = found.end()
        texts.append(text[end:].encode())
        self._lead, *behind = texts
        for first, between, second in zip(names, behind, names[1:], strict=False):
            if not between:
                raise XbotError(f"--log-format: nothing separates ${first} and ${second}")
        self.names = tuple(names)
        self._pieces = tuple(zip(names, behind, map(variables.is_known, names), strict=True))
        if not variables.groups(names):
            raise XbotError(
                "--log-format: no field about the visitor, such as $remote_addr, $request or $http_user_agent"
            )

    def load(self, line: bytes, request: core.Request) -> None:
        """Reads a line into a request; core.LineError with field and reason if it cannot."""
        variables.load(self.read(line), request)

    def read(self, line: bytes) -> dict[str, bytes]:
        """The fields of a line that say something of a request; core.LineError with field and reason if there are none."""
        if len(line) > core.MAX_LINE:
            raise core.LineError("line", f"longer than {core.MAX_LINE} bytes")
        if not line.startswith(self._lead):
            raise core.LineError("line", f"expected {_shown(self._lead)} first")
        said: dict[str, bytes] = {}
        at, last = len(self._lead), len(self._pieces) - 1
        for i, (name, behind, wanted) in enumerate(self._pieces):
            if i < last or behind not in (b"", b'"'):
                end = self._end(line, at, behind, quoted=behind[:1] == b'"')
            else:
                end = self._last_end(line, at) if behind else len(line)
            if end < 0:
                why = (
                    f"expected {_shown(behind)} behind it"
                    if behind != b'"'
                    else "a quote in it is not escaped, or none closes it"
                )
                raise core.LineError(name, why)
            if wanted:
                said[name] = self._unescape(line[at:end])
            at = end + len(behind)
        if (
            self.names[last] == "http_user_agent"
            and b'"Mozilla/' in line[at:]
            and said["http_user_agent"][:8] != b"Mozilla/"
        ):
            raise core.LineError(
                "http_referer", "a quote in it is not escaped"
            )  # the agent stands behind what was read as it
        return said

    def _end(self, line: bytes, at: int, behind: bytes, *, quoted: bool) -> int:
        """Where the field from `at` on ends; -1 if it does not."""
        end = line.find(behind, at)
        if quoted and self._escapes:
            while end >= 0 and _is_escaped(line, end):
                end = line.find(behind, end + 1)
        elif behind[:1] == b" ":
            while end > at and line[end - 1 : end] == b",":  # a list: $http_x_forwarded_for, $upstream_addr
                end = line.find(behind, end + 1)
        return end

    def _last_end(self, line: bytes, at: int) -> int:
        """The same for the last field, in quotes. The line may hold more fields than the pattern."""
        end = at - 1
        for _ in range(_MOST_QUOTES):
            end = line.find(b'"', end + 1)
            if end < 0:
                return -1
            if not (self._escapes and _is_escaped(line, end)) and _FIELDS.match(line, end + 1):
                return end
        return -1


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", "replace"))


# ---- strings ----


def compiled(text: str) -> Pattern:
    """A pattern as it stands in a configuration: the string alone, or the whole directive. XbotError if it is none."""
    directive = _DIRECTIVE.match(text)
    style = "default"
    if directive is not None:
        rest = directive[2]
        if found := _ESCAPE.match(rest):
            style, rest = found[1], rest[found.end() :]
        try:
            words = shlex.split(rest)
        except ValueError as error:
            raise XbotError(f"--log-format: {error}") from None
        # nginx joins what stands in quotes; behind Apache's string comes its name.
        text = "".join(words) if directive[1].startswith("log_format") else words[0] if words else ""
    elif text.lstrip().startswith("{"):
        style = "json"
    if not _VARIABLE.search(text):
        text = _of_apache(text)
    return Pattern(text, style)


_PERCENT = re.compile(r"%[!0-9,]*[<>]?(?:\{([^}]*)\})?(\^?[A-Za-z]|%)")
_APACHE = {
    "h": "${remote_addr}", "a": "${remote_addr}", "t": "[${time_local}]", "r": "${request}", "s": "${status}",
    "b": "${body_bytes_sent}", "B": "${body_bytes_sent}", "O": "${bytes_sent}", "m": "${request_method}", "U": "${uri}",
    "q": "${args}", "H": "${server_protocol}", "v": "${server_name}", "V": "${host}",
}  # fmt: skip


def _of_apache(text: str) -> str:
    """The same string with nginx's variables; what says nothing of a request has a name of its own."""
    count = 0

    def variable(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        argument, letter = found[1], found[2]
        if letter == "%":
            return "%"
        if letter == "i" and argument:
            return f"${{http_{re.sub(r'[^0-9A-Za-z]', '_', argument.lower())}}}"
        if letter == "o" and argument and argument.lower() == "content-type":
            return "${sent_http_content_type}"
        if letter == "t" and argument in ("sec", "msec", "usec", "%s"):
            return "${msec}"
        return _APACHE[letter] if not argument and letter in _APACHE else f"${{unknown_{count}}}"

    return _PERCENT.sub(variable, text.replace('\\"', '"').replace("\\t", "\t"))
