"""Where a site's nginx asks the sidecar: which places are asked about, by which location, at which address.

Law: it finds and does not judge; sidecar/check/traps.py does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sidecar.check.nginx_conf import Block, Directive
from sidecar.config import addresses
from sidecar.config.addresses import Address, UnixAddress
from sidecar.config.options import Policy
from sidecar.errors import XbotError
from sidecar.inputs import real


@dataclass(eq=False)
class Setup:
    """nginx's configuration beside the sidecar's. `version` is nginx's, `listen`, `policies` and `outcomes` are the sidecar's; those are
    empty if unknown. `outcomes` is None, too, where the sidecar hears of none."""

    conf: Block
    version: tuple[int, ...] = ()
    listen: Sequence[Address] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)
    outcomes: Address | None = None

    @cached_property
    def http_blocks(self) -> list[Block]:
        """The block http, if there is one."""
        return [each.block for each in self.conf.own("http") if each.block]

    @cached_property
    def servers(self) -> list[Block]:
        """Those of HTTP."""
        return [server for http in self.http_blocks for server in http.blocks("server")]

    @cached_property
    def upstreams(self) -> dict[str, Block]:
        """Upstreams by name."""
        found = [upstream for http in self.http_blocks for upstream in http.blocks("upstream")]
        return {each.directive.arg(0): each for each in found if each.directive}

    @cached_property
    def judging(self) -> Directive | None:
        """What puts nginx's own module in use: then nobody is asked, and the lines that ask are gates of the module."""
        blocks = [each for http in self.http_blocks for each in (http, *http.blocks("server", "location", "if"))]
        said = [
            each
            for name in ("xbot_board", "xbot", "xbot_pass", "xbot_status")
            for block in blocks
            for each in block.own(name)
        ]
        return said[0] if said else None

    @cached_property
    def _every_gate(self) -> list[Gate]:
        found = []
        for server in self.servers:
            for block in (server, *server.blocks("location")):
                if switch := block.in_force("xbot"):
                    found += [Gate(self, server, block, each) for each in switch[:1] if each.arg(0) == "on"]
                    continue
                asks = block.in_force("auth_request")[:1]
                if asks and asks[0].arg(0) != "off":
                    gate = Gate(self, server, block, asks[0])
                    if "xbot" in gate.uri or any(address in self.listen for address in gate.addresses):
                        found.append(gate)
        return found

    @cached_property
    def asking(self) -> set[Block]:
        """The locations that ask, with the internal ones around them."""
        questions = [gate.question for gate in self._every_gate if gate.question]
        outer = [block for each in questions for block in each.around() if each.outer and block.own("internal")]
        return {*questions, *outer}

    @cached_property
    def gates(self) -> list[Gate]:
        """Every place that the sidecar is asked about, and no other service."""
        return [gate for gate in self._every_gate if not self.asks(gate.block)]

    @cached_property
    def named_policies(self) -> list[tuple[Directive, str]]:
        """(directive, policy) wherever nginx names one for the question; the name may be a variable or empty."""
        blocks = [each for server in self.servers for each in (server, *server.blocks("location", "if"))]
        sets = [each for block in blocks for each in block.own("set") if each.arg(0) == "$xbot_policy"]
        headers = [each for block in self.asking for each in block.in_force("proxy_set_header")]
        headers = [each for each in dict.fromkeys(headers) if each.arg(0).lower() == "x-bot-policy"]
        return [(each, each.arg(1)) for each in (*sets, *headers)]

    def mentions(self, word: str) -> bool:
        """Does anything in nginx's configuration look at this outcome, besides the map that hands it on?"""
        handed_on = [
            each for http in self.http_blocks for each in http.own("map") if each.args[:1] == ("$xbot_verdict",)
        ]
        return any(word in (each.name, *each.args) for each in self.conf.all(handed_on))

    def asks(self, block: Block) -> bool:
        """Is it part of the question, not of the site?"""
        return any(each in self.asking for each in block.around())


@dataclass(eq=False)
class Gate:
    """A server or location, and the auth_request in force there."""

    setup: Setup
    server: Block
    block: Block
    asks: Directive

    @property
    def uri(self) -> str:
        """What auth_request names."""
        return self.asks.arg(0)

    @cached_property
    def question(self) -> Block | None:
        """The location that asks; None if auth_request leads to none, but to a part of the site."""
        names = (self._led_to.matches[1], self._target) if self._led_to else ()
        asks = bool(self._target) and (
            "xbot" in " ".join(names) or any(each in self.setup.listen for each in self.addresses)
        )
        return self._led_to if asks else None

    @cached_property
    def upstream(self) -> Block | None:
        """The upstream that auth_request leads to by name."""
        return self.setup.upstreams.get(self._target.partition("/")[0])

    @cached_property
    def addresses(self) -> list[Address]:
        """Where auth_request leads to, as far as that stands there."""
        if self.upstream is not None:
            return _addresses(each.arg(0) for each in self.upstream.own("server"))
        unix = re.match(r"unix:[^:]*", self._target)
        return _addresses([unix.group() if unix else self._target.partition("/")[0]])

    @property
    def refuses(self) -> bool:
        """Does nginx refuse a visitor whom the sidecar refuses?"""
        if self.setup.judging:
            return self.uri != "/_xbot/observe"
        return self.question is not None and "403" not in error_pages(self.question)

    @cached_property
    def _led_to(self) -> Block | None:
        return self.server.location(self.uri)

    @property
    def _target(self) -> str:
        passes = self._led_to.own("proxy_pass") if self._led_to else []
        return re.sub(r"^https?://", "", passes[0].arg(0)) if passes else ""


def error_pages(block: Block) -> dict[str, Directive]:
    """The error_page in force for each status."""
    return {code: each for each in block.in_force("error_page") for code in each.args if code.isdigit()}


def _addresses(texts: Iterable[str]) -> list[Address]:
    found = []
    for text in texts:
        try:
            found.append(addresses.parse(text if ":" in text else f"{text}:80"))
        except XbotError:  # nothing, or a variable
            continue
    return found


def same(asked: Address, listening: Address) -> bool:
    """Do two addresses lead to the same socket?"""
    if isinstance(asked, UnixAddress) and isinstance(listening, UnixAddress):
        return real(asked.path) == real(listening.path)  # /var/run is /run
    if isinstance(asked, UnixAddress) or isinstance(listening, UnixAddress):
        return False
    everywhere = listening.host in ("0.0.0.0", "::")  # noqa: S104
    loopback = {asked.host, listening.host} <= {"localhost", "127.0.0.1", "::1"}
    return asked.port == listening.port and (everywhere or loopback or asked.host == listening.host)
