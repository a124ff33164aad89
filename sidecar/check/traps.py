"""The traps of docs/nginx.md, looked for in a site's own nginx configuration.

Law: one function a trap, given a gate; the three tables at the end say how often it is asked: once for each location that
asks the sidecar, once for each place that is asked about, once for each server. A finding names nginx's file and line, and
says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from sidecar import core
from sidecar.check.findings import Finding, Status
from sidecar.check.gates import Gate, Setup, error_pages, same
from sidecar.check.nginx_conf import Block, Directive, regex_matches, seconds, size
from sidecar.config import toml_file
from sidecar.config.addresses import UnixAddress

KEEPS_ALIVE = (1, 29, 7)  # from here on nginx keeps connections to an upstream without being told
NEWER = {
    "$ssl_alpn_protocol": (1, 21, 4),
    "$ssl_sigalgs": (1, 31, 2),
}  # what nginx tells of a handshake, and from when on
LONGEST_WAIT = 5.0  # seconds that a stuck sidecar may cost a visitor
# What the sidecar believes, and so must be nginx's word (csrc/request/dialect.c).
TOLD = "X-Real-IP X-Original-URI X-Original-Method X-Original-Protocol X-Original-Scheme X-Original-Host".split()
ANSWERED = ("$xbot", "$xbot_verdict", "$xbot_score", "$xbot_reason")
# What leads to a site: the directive that sets its headers, and X-Bot's name there.
PASSES = {
    "proxy_pass": ("proxy_set_header", "X-Bot"),
    "grpc_pass": ("grpc_set_header", "X-Bot"),
    "fastcgi_pass": ("fastcgi_param", "HTTP_X_BOT"),
    "uwsgi_pass": ("uwsgi_param", "HTTP_X_BOT"),
    "scgi_pass": ("scgi_param", "HTTP_X_BOT"),
}
ACME = "/.well-known/acme-challenge/"

Trap = Callable[[Gate], Iterator[Finding]]


def look(setup: Setup) -> list[Finding]:
    """All that are there, each once, however many servers include it."""
    if not setup.gates:
        return [Finding("skipped", "nginx", "no server asks the sidecar", "two edits, see docs/nginx.md")]
    questions = {gate.question: gate for gate in setup.gates if gate.question}
    of_questions, of_gates, of_servers = (OF_QUESTIONS, OF_GATES, OF_SERVERS)
    if setup.judging:
        of_questions, of_gates, of_servers = ((), OF_MODULE_GATES, OF_MODULE_SERVERS)
    servers = {gate.server: gate for gate in setup.gates}
    found = [
        finding
        for traps, gates in (
            (of_questions, questions.values()),
            (of_gates, setup.gates),
            (of_servers, servers.values()),
        )
        for gate in gates
        for trap in traps
        for finding in trap(gate)
    ]
    return list(dict.fromkeys(chain(found, *(trap(setup) for trap in OF_ALL))))


def _found(status: Status, at: Block | Directive, what: str, mend: str) -> Finding:
    return Finding(status, "nginx", f"{at.place}: {what}", mend)


def _headers(block: Block, directive: str = "proxy_set_header") -> dict[str, Directive]:
    return {each.arg(0).lower(): each for each in block.in_force(directive) if len(each.args) > 1}


def _question(gate: Gate) -> tuple[Block, str]:
    """The location that asks, and its name."""
    block = gate.question or gate.block
    return block, _name(block)


def _name(block: Block) -> str:
    return " ".join((block.directive.name, *block.directive.args)) if block.directive else ""


# ---- of the location that asks ----


def body(gate: Gate) -> Iterator[Finding]:
    """The question comes without the visitor's body, and without a word of it."""
    block, name = _question(gate)
    if block.value("proxy_pass_request_body", "on") != "off":
        yield _found("warning", block, f"{name} does not leave out the visitor's body", "proxy_pass_request_body off;")
    length = _headers(block).get("content-length")
    if length is None or length.arg(1):
        what = f"{name} tells the sidecar of a body that never comes: it closes the connection after the answer"
        yield _found("wrong", block, what, 'proxy_set_header Content-Length "";')


def told(gate: Gate) -> Iterator[Finding]:
    """What the sidecar believes is nginx's word, not the visitor's."""
    block, name = _question(gate)
    sent = _headers(block)
    missing = [each for each in TOLD if each.lower() not in sent]
    if missing:
        what = f"{name} hands on a visitor's own {', '.join(missing)}, and the sidecar would believe it"
        yield _found("wrong", block, what, "take the proxy_set_header lines of xbot/locations.conf")
    if "x-bot-policy" not in sent:
        what = f"{name} hands on a visitor's own X-Bot-Policy: he would choose his policy"
        yield _found("wrong", block, what, 'proxy_set_header X-Bot-Policy ""; or the policy\'s name')
    if block.value("proxy_pass_request_headers", "on") == "off":
        what = f"{name} keeps the visitor's headers from the sidecar"
        yield _found("wrong", block, what, "proxy_pass_request_headers on;")


def files(gate: Gate) -> Iterator[Finding]:
    """nginx's files and the sidecar are of one version; what the sidecar answers to their questions is understood."""
    block, name = _question(gate)
    said = _headers(block).get("x-xbot-files")
    mend = "move the directory xbot away, then xbot nginx --write"
    if said is None:
        what = f"{name} tells the sidecar nothing of connection and TLS handshake: its files are older than this xbot"
        yield _found("warning", block, what, mend)
    elif said.arg(1) != str(core.FILES):
        what = f"{name} has files of version {said.arg(1) or 'none'}, this xbot those of {core.FILES}"
        yield _found("warning", said, what, mend)
    if said is not None and "428" not in error_pages(block):
        what = f"{name} has no error_page 428: each visitor whose handshake the sidecar asks for gets 500"
        yield _found("wrong", block, what, "error_page 428 = /_xbot/tell/...; as in xbot/locations.conf")


def stays_open(gate: Gate) -> Iterator[Finding]:
    """One connection serves many questions."""
    block, name = _question(gate)
    if gate.setup.version >= KEEPS_ALIVE:
        return
    mends = []
    if gate.upstream is None:
        mends.append("proxy_pass http://xbot/; with the upstream of xbot/upstream.conf")
    elif not gate.upstream.own("keepalive"):
        mends.append("keepalive 64; in the upstream")
    if block.value("proxy_http_version", "1.0") == "1.0":
        mends.append("proxy_http_version 1.1;")
    connection = _headers(block).get("connection")
    if connection is None or connection.arg(1).lower() == "close":
        mends.append('proxy_set_header Connection "";')
    if mends:
        yield _found("warning", block, f"{name} opens a connection for each question", " ".join(mends))


def waits(gate: Gate) -> Iterator[Finding]:
    """Short timeouts: a sidecar that is stuck delays a visitor only briefly."""
    block, name = _question(gate)
    for step, mend in (("connect", "100ms"), ("send", "100ms"), ("read", "500ms")):
        option = f"proxy_{step}_timeout"
        longest = block.value(option, "60s")
        if seconds(longest) > LONGEST_WAIT:
            what = f"{name} lets a stuck sidecar hold up each visitor for {longest} ({option})"
            yield _found("wrong", block, what, f"{option} {mend};")


def fails_open(gate: Gate) -> Iterator[Finding]:
    """A sidecar that is away is no error for the visitor."""
    block, name = _question(gate)
    pages = error_pages(block)
    missing = [code for code in ("500", "502", "503", "504") if code not in pages or "=" not in pages[code].arg(-2)]
    if missing:
        what = f"{name} has no error_page {' '.join(missing)}: while the sidecar is away every visitor gets 500"
        yield _found("wrong", block, what, "error_page 500 502 503 504 = @xbot_let_by; and there: return 204;")
    elif block.value("proxy_intercept_errors", "off") != "on":
        what = f"{name} does not apply error_page to what the sidecar itself answers"
        yield _found("wrong", block, what, "proxy_intercept_errors on;")


def cached(gate: Gate) -> Iterator[Finding]:
    """Each visitor gets his own answer."""
    block, name = _question(gate)
    if block.value("proxy_cache", "off") != "off":
        what = f"{name} keeps the answer about one visitor for the next"
        yield _found("wrong", block, what, "proxy_cache off;")


def outsiders(gate: Gate) -> Iterator[Finding]:
    """Only nginx asks."""
    block, name = _question(gate)
    if not block.in_force("internal"):
        yield _found("warning", block, f"{name} can be asked from outside", "internal;")


def large_uploads(gate: Gate) -> Iterator[Finding]:
    """The question has no smaller limit than the place that it is about."""
    block, name = _question(gate)
    limit = size(block.value("client_max_body_size", "1m"))
    for other in gate.setup.gates if limit else ():
        if other.question is block and not 0 < size(other.block.value("client_max_body_size", "1m")) <= limit:
            what = f"{name} takes {limit} bytes: a larger upload to {_name(other.block)} gets 500"
            yield _found("wrong", block, what, "client_max_body_size 0;")
            return


def rewritten(gate: Gate) -> Iterator[Finding]:
    """A rewrite of the server is applied to the question too."""
    for block in (gate.server, *(each.block for each in gate.server.own("if") if each.block)):
        for each in block.own("rewrite"):
            if regex_matches(each.arg(0), gate.uri):
                what = f"rewrite {each.arg(0)} also catches {gate.uri}: the site is asked, not the sidecar"
                yield _found("wrong", each, what, "put it into location / { }, or let the question pass: ^/(?!_xbot/)")


def elsewhere(gate: Gate) -> Iterator[Finding]:
    """nginx asks where the sidecar listens."""
    block, _ = _question(gate)
    listen = gate.setup.listen
    asks = next(iter(gate.upstream.own("server") if gate.upstream else block.own("proxy_pass")), block)
    for address in gate.addresses:
        if listen and not any(same(address, each) for each in listen):
            what = f"nginx asks {address}, the sidecar listens on {', '.join(map(str, listen))}"
            yield _found("wrong", asks, what, f"the same address in both, as in: server {listen[0]};")
        if isinstance(address, UnixAddress) and address.path.parts[1:2] == ("tmp",):
            what = f"{address} is out of sight for a service that has a /tmp of its own (PrivateTmp)"
            yield _found("warning", asks, what, "a socket below /run")


# ---- of a place that is asked about ----


def nobody_asks(gate: Gate) -> Iterator[Finding]:
    """auth_request leads to no location that asks."""
    if gate.question is None:
        asking = [each.matches[1] for each in gate.server.blocks("location") if each.own("proxy_pass")]
        known = [each for each in asking if "xbot" in each]
        mend = toml_file.meant(gate.uri, known) if known else "include xbot/observe.conf; in the server block"
        yield _found("wrong", gate.asks, f"auth_request {gate.uri} leads to no location that asks the sidecar", mend)


def answered_before(gate: Gate) -> Iterator[Finding]:
    """`return` runs before anybody is asked. For a redirect that is fine."""
    if gate.block.matches[0] == "@":
        return
    asked_here = gate.asks in gate.block.inner
    for each in gate.block.own("return") if gate.block is not gate.server else ():
        if asked_here or each.arg(0).startswith("2"):
            what = f"{_name(gate.block)} answers before the sidecar is asked"
            mend = "auth_request off; or an answer by proxy_pass, root, fastcgi_pass"
            yield _found("wrong" if asked_here else "warning", each, what, mend)


def asked_twice(gate: Gate) -> Iterator[Finding]:
    """`try_files` that ends in a named location asks there again, and nobody comes there who was not asked about."""
    kind, name = gate.block.matches
    if kind != "@" or any(each.arg(0) == "$xbot_policy" for each in gate.block.own("set")):
        return
    asking = {each.block for each in gate.setup.gates}
    leading = [
        each
        for each in (gate.server, *gate.server.blocks("location"))
        for said in each.own("try_files")
        if said.arg(-1) == f"@{name}"
    ]
    if leading and asking.issuperset(leading):
        what = f"location @{name}: who comes here by try_files is asked about twice"
        yield _found("warning", gate.block, what, "auth_request off; in it")


def satisfied_by_any(gate: Gate) -> Iterator[Finding]:
    """With `satisfy any` the sidecar's yes would let a visitor in without a password."""
    for each in gate.block.in_force("satisfy"):
        if each.arg(0) == "any":
            what = "satisfy any: the sidecar's yes lets a visitor by every other check"
            yield _found("wrong", each, what, "auth_request off; beside it, or satisfy all;")


def verdict_lost(gate: Gate) -> Iterator[Finding]:
    """auth_request_set keeps the answer; a line in an inner block drops the outer ones."""
    kept = gate.block.in_force("auth_request_set")
    if not any("$upstream_http_x_bot" in each.args for each in kept):
        what = "no auth_request_set keeps the sidecar's X-Bot: it is unknown for every visitor"
        mend = "the auth_request_set lines of xbot/http.conf"
        yield _found("wrong", kept[0] if kept else gate.asks, what, f"{mend}, beside this one" if kept else mend)


def page_of_refusal(gate: Gate) -> Iterator[Finding]:
    """The error page for refused visitors is not asked about itself."""
    page = error_pages(gate.block).get("403")
    if page is None or not gate.refuses:
        return
    uri = page.arg(-1)
    shown = gate.server.location(uri)
    if uri.startswith("/") and any(each.block is shown and each.refuses for each in gate.setup.gates):
        what = f"{uri}, the page for whom is refused, is asked about too, and refused"
        yield _found("wrong", page, what, f"location = {uri} {{ internal; auth_request off; ... }}")


def opens_when_away(gate: Gate) -> Iterator[Finding]:
    """A gate that fails closed says 503 by an error_page of its server; an inner line drops it."""
    led_to = error_pages(gate.question).get("502") if gate.question else None
    away = gate.server.location(led_to.arg(-1)) if led_to else None
    closed = away is not None and any(each.arg(0).startswith("5") for each in away.own("return"))
    if led_to and closed and gate.block.matches[0] != "@" and "500" not in error_pages(gate.block):
        what = f"{_name(gate.block)} says 500, not 503, while the sidecar is away"
        yield _found("warning", gate.block, what, "error_page 500 = @xbot_away;")


def not_exempt(gate: Gate) -> Iterator[Finding]:
    """`auth_request off` ends a gate that is a line of auth_request, not one that is `xbot on`."""
    for each in gate.block.own("auth_request"):
        if gate.asks.name == "xbot" and each.arg(0) == "off":
            yield _found("wrong", each, f"auth_request off does not end xbot on for {_name(gate.block)}", "xbot off;")


# ---- of a server that asks ----


def forged(gate: Gate) -> Iterator[Finding]:
    """The site gets the sidecar's X-Bot, and never the visitor's."""
    passing = list(_passing(gate))
    safe = {block for block, _, directive, name in passing if name.lower() in _headers(block, directive)}
    for block, leaves, directive, name in passing:
        if block in safe:
            continue
        mend = "include xbot/pass.conf;" if directive == "proxy_set_header" else f"{directive} {name} $xbot; and so on"
        what = f"{_name(block)} hands a visitor's own X-Bot to the site"
        own = block.own(directive)
        if safe and own:
            yield _found("wrong", own[0], f"{what}: this line drops every outer {directive}", f"{mend} beside it")
        elif safe:
            yield _found("wrong", leaves, what, mend)
        else:
            yield _found("warning", leaves, f"{what}, and not the verdict", mend)


def aliases(gate: Gate) -> Iterator[Finding]:
    """Names that many sites take for X-Bot, where nginx hands them on."""
    for option, bad, alias in (("underscores_in_headers", "on", "X_Bot"), ("ignore_invalid_headers", "off", "X.Bot")):
        for block, leaves, directive, name in _passing(gate) if gate.server.value(option, "") == bad else ():
            sent = _headers(block, directive)
            if directive == "proxy_set_header" and name.lower() in sent and alias.lower() not in sent:
                what = f"{_name(block)} hands on {alias}, which many sites take for X-Bot ({option} {bad})"
                yield _found("wrong", leaves, what, "include xbot/pass.conf;")


def not_handed_on(gate: Gate) -> Iterator[Finding]:
    """`xbot_pass` puts the verdict among the visitor's headers, which a site gets unless somebody says otherwise."""
    for block, _, directive, name in _passing(gate):
        option = f"{directive.split('_')[0]}_pass_request_headers"
        told = name.lower() in _headers(block, directive)
        if block.value("xbot_pass", "off") == "on" and block.value(option, "on") == "off" and not told:
            what = f"{_name(block)} hands on none of the request's headers, so not those of xbot_pass"
            yield _found(
                "wrong", block.in_force(option)[0], what, f"{option} on; or {directive} {name} $xbot; and so on"
            )


def another_before(gate: Gate) -> Iterator[Finding]:
    """Behind a CDN or a balancer that ends TLS, order, protocol and handshake are that one's."""
    believes = gate.server.in_force("set_real_ip_from")
    tells_addresses_alone = gate.server.value("real_ip_header", "X-Real-IP") == "proxy_protocol"
    order = _headers(gate.question or gate.block).get("x-original-order")
    said = [each for block in (gate.server, *gate.server.blocks("location", "if")) for each in block.own("set")]
    lost = any(each.args == ("$xbot_order", "lost") for each in said) or (order is not None and order.arg(1) == "lost")
    for each in [] if tells_addresses_alone else believes[:1]:
        if not lost:
            what = "visitors come through another proxy, whose order of headers, protocol and TLS are taken for theirs"
            yield _found("warning", each, what, "set $xbot_order lost; in the server")


def asked_too_early(gate: Gate) -> Iterator[Finding]:
    """`if` is looked at before the sidecar is asked, but where an error leads to."""
    for block in gate.server.blocks("if"):
        later = block.outer is not None and (block.outer.matches[0] == "@" or block.outer.own("internal"))
        condition = block.directive.args if block.directive else ()
        if not later and any(each.lstrip("!") in ANSWERED for each in condition):
            what = f"if ({' '.join(condition)}) is looked at before the sidecar is asked"
            yield _found("wrong", block, what, "auth_request /_xbot/enforce; to refuse, or decide in the site")


def certificates(gate: Gate) -> Iterator[Finding]:
    """A certificate authority is a program: once it is refused, the certificate runs out."""
    listens = gate.server.own("listen")
    block = gate.server.location(ACME + "token") or gate.server
    if (listens and all("ssl" in each.args for each in listens)) or gate.server.own("return"):
        return
    for other in gate.setup.gates:
        if other.block is block and other.refuses:
            what = f"{_name(block)} may refuse a certificate authority, which asks for {ACME}"
            yield _found("warning", block, what, f"location ^~ {ACME} {{ auth_request off; root ...; }}")


def _passing(gate: Gate) -> Iterator[tuple[Block, Directive, str, str]]:
    """(block, what leads to the site, what sets its headers, X-Bot's name there)."""
    for block in (gate.server, *gate.server.blocks("location", "if", "limit_except")):
        for passes, (directive, name) in PASSES.items():
            for leaves in block.own(passes)[:1] if not gate.setup.asks(block) else ():
                yield block, leaves, directive, name


# ---- of the whole ----


def logs(setup: Setup) -> Iterator[Finding]:
    """In the log of a request, $upstream_http_... is the site's."""
    for each in chain.from_iterable(http.own("log_format") for http in setup.http_blocks):
        if "$upstream_http_x_bot" in " ".join(each.args):
            what = f"log_format {each.arg(0)}: $upstream_http_x_bot is the site's header, not the sidecar's"
            yield _found("warning", each, what, "$xbot, $xbot_score, $xbot_reason")


def outcomes(setup: Setup) -> Iterator[Finding]:
    """What the sidecar may say is told to the site."""
    for each in chain.from_iterable(http.own("map") for http in setup.http_blocks):
        missing = sorted(set(core.OUTCOMES) - {said.name for said in each.block.inner}) if each.block else []
        if each.args[:1] == ("$xbot_verdict",) and missing:
            what = f"{' and '.join(missing)} is told to the site as unknown"
            yield _found("wrong", each, what, "the map of xbot/http.conf")


def told_elsewhere(setup: Setup) -> Iterator[Finding]:
    """What nginx tells of requests afterwards goes to where the sidecar hears it."""
    if setup.judging or not setup.policies:
        return
    blocks = [each for http in setup.http_blocks for each in (http, *http.blocks("server", "location", "if"))]
    told = [each for block in blocks for each in block.own("access_log") if "xbot_outcome" in each.args]
    heard = setup.outcomes
    for each in told:
        address = each.arg(0).partition("server=")[2].partition(",")[0]
        if heard is None:
            what = f"{address} is told what happened to requests, and the sidecar hears of none"
            yield _found("warning", each, what, f'outcomes = "{address}" in [clients] of xbot.toml')
        elif address != str(heard):
            what = f"{address} is told what happened to requests, the sidecar hears at {heard}"
            yield _found("wrong", each, what, "the same path in both")
    if heard is not None and not told:
        what = f"nothing tells {heard} what happened to requests"
        yield _found("warning", setup.gates[0].asks, what, "include xbot/outcome.conf; beside the server's access_log")


def policies(setup: Setup) -> Iterator[Finding]:
    """nginx names policies that there are, says where bots are refused, and does something with suspects."""
    for chosen, name in setup.named_policies:
        if chosen.name == "set" and not setup.judging and any(chosen in server.inner for server in setup.servers):
            what = "set runs again for the question itself: it takes away the policy that a location has set"
            yield _found("warning", chosen, what, "set $xbot_policy in the locations alone")
        if name and "$" not in name and setup.policies and name not in setup.policies:
            what = f"the sidecar has no policy {name!r}"
            yield _found("wrong", chosen, what, toml_file.meant(name, setup.policies))
    if not setup.policies:
        return
    enforced = any(each.mode == "enforce" for each in setup.policies.values())
    refusing = [gate for gate in setup.gates if gate.refuses]
    if refusing and not enforced:
        what = f"auth_request {refusing[0].uri} refuses nobody: no policy is in mode enforce"
        yield _found("warning", refusing[0].asks, what, 'mode = "enforce" in the policy')
    if enforced and not refusing:
        what = "nobody is refused, though a policy is in mode enforce: nginx lets everybody by"
        yield _found("warning", setup.gates[0].asks, what, "auth_request /_xbot/enforce; where bots are to be refused")


def newer_nginx(setup: Setup) -> Iterator[Finding]:
    """This nginx can tell more of the handshake than its files have it tell."""
    for variable, since in NEWER.items():
        if setup.version >= since and setup.mentions("$xbot_alpn") and not setup.mentions(variable):
            what = f"this nginx knows {variable}, and its files do not look at it: they are written for an older one"
            mend = "move the directory xbot away, then xbot nginx --write"
            yield _found("warning", setup.gates[0].asks, what, mend)


# fmt: off
OF_QUESTIONS: tuple[Trap, ...] = (
    body, told, files, stays_open, waits, fails_open, cached, outsiders, large_uploads, rewritten, elsewhere,
)
OF_GATES: tuple[Trap, ...] = (
    nobody_asks, answered_before, asked_twice, satisfied_by_any, verdict_lost, page_of_refusal, opens_when_away,
)
OF_SERVERS: tuple[Trap, ...] = (forged, aliases, another_before, asked_too_early, certificates)
# Where nginx judges by its module.
OF_MODULE_GATES: tuple[Trap, ...] = (answered_before, not_exempt)
OF_MODULE_SERVERS: tuple[Trap, ...] = (not_handed_on, another_before, certificates)
OF_ALL = (logs, outcomes, told_elsewhere, policies, newer_nginx)
# fmt: on
