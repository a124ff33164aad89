"""nginx's configuration as nested blocks: what a block inherits, and which location a URI matches, as nginx decides it.

Law: it knows nginx and nothing of xbot. It reads the files that nginx would read (crossplane does), and runs nginx only to
ask what it was built with and whether it takes the configuration.
"""

from __future__ import annotations

import concurrent.futures
import re
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import crossplane

from sidecar.errors import MistakesError, XbotError, at

READ_SECONDS = 10.0  # for all files of the configuration
TEST_SECONDS = 30.0  # for nginx, who also reads certificates and asks the DNS for names
_SECONDS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(eq=False)
class Directive:
    """One directive. `block` is what stands in its braces, if it has any."""

    name: str
    args: tuple[str, ...]
    place: str  # file:line
    block: Block | None = None

    def arg(self, index: int) -> str:
        """An argument, "" if there are not so many: nginx may not have looked at it yet."""
        return self.args[index] if -len(self.args) <= index < len(self.args) else ""


@dataclass(eq=False)
class Block:
    """The directives in braces, or of the whole file (`directive` and `outer` None)."""

    directive: Directive | None = None
    outer: Block | None = None
    inner: list[Directive] = field(default_factory=list)

    def own(self, name: str) -> list[Directive]:
        """The directives of this name that stand in the block itself."""
        return [each for each in self.inner if each.name == name]

    def in_force(self, name: str) -> list[Directive]:
        """The directives in force here: those of the nearest enclosing block that has any. One in an inner block drops all outer ones."""
        block: Block | None = self
        while block is not None:
            if found := block.own(name):
                return found
            block = block.outer
        return []

    def value(self, name: str, default: str) -> str:
        """The first argument of the directive in force."""
        found = self.in_force(name)
        return found[-1].arg(0) if found else default

    def all(self, but: Collection[Directive] = ()) -> Iterator[Directive]:
        """Every directive inside, however deep, but for some and what is in them."""
        for each in self.inner:
            if each not in but:
                yield each
                yield from each.block.all(but) if each.block else ()

    def blocks(self, *names: str) -> Iterator[Block]:
        """The blocks of these names inside, however deep."""
        for each in self.inner:
            if each.block is not None:
                if each.name in names:
                    yield each.block
                yield from each.block.blocks(*names)

    def around(self) -> Iterator[Block]:
        """This block and those that it stands in, outwards."""
        block: Block | None = self
        while block is not None:
            yield block
            block = block.outer

    @property
    def place(self) -> str:
        """Where its first line is."""
        return self.directive.place if self.directive else ""

    @cached_property
    def matches(self) -> tuple[str, str]:
        """Of a location: how it matches ("=", "^~", "~", "~*", "@" or "") and what."""
        text = "".join(self.directive.args) if self.directive else ""
        kind = re.match(r"=|\^~|~\*|~|@|", text)
        return (kind.group(), text[kind.end() :]) if kind else ("", text)

    def location(self, uri: str) -> Block | None:
        """The location that a request for this path comes to; a name such as @app finds the named one."""
        if uri.startswith("@"):
            return next((each for each in self.blocks("location") if each.matches == ("@", uri[1:])), None)
        return self._location(uri.partition("?")[0])[0]

    def _location(self, uri: str) -> tuple[Block | None, bool]:
        """(the location, whether no location outside may override it)."""
        locations = [each.block for each in self.own("location") if each.block]
        for each in locations:
            if each.matches == ("=", uri):
                return each, True
        prefixes = [each for each in locations if each.matches[0] in ("", "^~") and uri.startswith(each.matches[1])]
        found = max(prefixes, key=lambda each: len(each.matches[1]), default=None)
        if found is not None:
            last = found.matches[0] == "^~"
            inside, final = found._location(uri)
            found = inside or found
            if final:
                return found, True
            if last:
                return found, False
        for each in locations:
            if each.matches[0] in ("~", "~*") and regex_matches(each.matches[1], uri, each.matches[0] == "~*"):
                return each._location(uri)[0] or each, True
        return found, False


def regex_matches(pattern: str, text: str, any_case: bool = False) -> bool:
    """Does nginx's regular expression match? Python's are close to it; one that Python cannot read does not."""
    try:
        return bool(re.search(re.sub(r"\(\?<(?![=!])", "(?P<", pattern), text, re.IGNORECASE if any_case else 0))
    except re.error:
        return False


def seconds(text: str) -> float:
    """Of a time such as 500ms, 60s or 1m 30s."""
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwMy]?)", text))


def size(text: str) -> int:
    """Bytes of a size such as 8k or 10m."""
    found = re.fullmatch(r"(\d+)([kmg]?)", text.lower())
    return int(found[1]) * _BYTES[found[2]] if found else 0


def _parsed(path: Path) -> Any:
    """What crossplane says. It opens whatever is included, and would wait for a pipe or a dead mount: XbotError after a while."""
    parsed: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def parse() -> None:
        try:
            parsed.set_result(crossplane.parse(str(path), check_ctx=False, check_args=False))
        except Exception as error:
            parsed.set_exception(error)

    threading.Thread(target=parse, daemon=True).start()
    try:
        return parsed.result(READ_SECONDS)
    except concurrent.futures.TimeoutError:
        raise XbotError(
            f"{path}: it, or a file that it includes, could not be read within {READ_SECONDS:g} s"
        ) from None


def read(path: Path) -> Block:
    """The configuration that begins in this file, with all that it includes; MistakesError with all that cannot be read in it."""
    found = _parsed(path)
    if found["errors"]:
        raise MistakesError(
            [
                f"{at(error['file'], error['line'])}: {(str(error['error']) or 'it breaks off').removeprefix('[Errno 2] ')}"
                for error in found["errors"]
            ]
        )
    files = found["config"]
    whole = Block()
    _fill(whole, files, 0, ())
    return whole


def _fill(
    block: Block, files: list[Any], number: int, above: tuple[int, ...], statements: list[Any] | None = None
) -> None:
    """Adds the statements, or all of a file, to the block. A file that includes itself is left out the second time."""
    file = files[number]
    for said in file["parsed"] if statements is None else statements:
        if said["directive"] == "include" and "includes" in said:
            for included in said["includes"]:
                if included not in (*above, number):
                    _fill(block, files, included, (*above, number))
            continue
        directive = Directive(said["directive"], tuple(said["args"]), at(file["file"], said["line"]))
        block.inner.append(directive)
        if "block" in said:
            directive.block = Block(directive, block)
            _fill(directive.block, files, number, above, said["block"])


# ---- the program ----


@dataclass(frozen=True)
class Program:
    """An installed nginx."""

    path: str
    version: tuple[int, ...]
    built_with: str  # what configure was given

    @property
    def conf(self) -> Path:
        """The configuration that it reads when it is given none."""
        prefix = self.option("prefix") or "/usr/local/nginx"
        return Path(prefix) / (self.option("conf-path") or "conf/nginx.conf")

    def option(self, name: str) -> str | None:
        """What it was built with."""
        found = re.search(rf"--{name}=('[^']*'|\S+)", self.built_with)
        return found[1].strip("'") if found else None

    def test(self, conf: Path) -> tuple[bool, str]:
        """`nginx -t`: whether it takes the configuration, and what it said first that is no note."""
        try:
            done = _run(self.path, "-t", "-c", str(conf))
        except subprocess.TimeoutExpired:
            return (
                False,
                f"{conf}: no answer within {TEST_SECONDS:g} s: is a pipe, or a dead mount, among what it names?",
            )
        said = re.search(r"\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(.*)", done.stderr)
        return done.returncode == 0, said[1] if said else done.stderr


def installed() -> Program | None:
    """nginx, where there is one. Debian keeps it in /usr/sbin, which is not on every PATH."""
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/nginx/sbin")
    if path is None:
        return None
    said = _run(path, "-V").stderr
    version = re.search(r"/(\d+(?:\.\d+)*)", said)
    return Program(path, tuple(map(int, version[1].split("."))) if version else (), said)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=TEST_SECONDS
    )
