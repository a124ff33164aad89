"""xbot.toml, read and checked whole: each mistake is one line that names file, line and field.

Law: this module knows what no type of options.py can check, and not how the options act (plan.py).
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from sidecar import core
from sidecar.config import addresses, store, toml_file
from sidecar.config.options import (
    DEFAULT_POLICY,
    MOST_LISTENERS,
    MOST_LISTS,
    MOST_PATHS,
    MOST_POLICIES,
    NAME,
    NONE,
    OURS,
    Clients,
    Config,
    Policy,
)
from sidecar.config.plan import NOTHING, Overrides, Plan, settled
from sidecar.config.toml_lines import field_of
from sidecar.errors import XbotError
from sidecar.verify import catalogue


def load(path: Path | None, overrides: Overrides = NOTHING) -> Plan:
    """The file's configuration below what overrides say; MistakesError if it is not sound, XbotError if it is not there."""
    config, old_names = (Config(), {}) if path is None else toml_file.load(path, Config, _mistakes)
    return replace(settled(path, config, overrides), old_names=old_names)


def entries_of(path: Path | None, config: Config) -> Plan:
    """The lists, and the paths of policies, of a file that may have mistakes elsewhere."""
    paths = {name: Policy(paths=policy.paths) for name, policy in config.policies.items()}
    return settled(path, Config(lists=config.lists, policies=paths), NOTHING)


def _mistakes(config: Config) -> Iterator[tuple[str, str]]:
    """(field, why) of each."""
    places: dict[addresses.Address, str] = {}
    policies = {DEFAULT_POLICY, *config.policies}
    if len(config.listen) > MOST_LISTENERS:
        yield "listen", f"{len(config.listen)}, at most {MOST_LISTENERS}"
    for i, listen in enumerate(config.listen):
        if listen.policy not in policies:
            yield f"listen[{i}].policy", f"no policy {listen.policy!r}; {toml_file.meant(listen.policy, policies)}"
        yield from _address_mistakes(f"listen[{i}].address", listen.address, places)
    if config.admin is not None:
        yield from _address_mistakes("admin", config.admin, places)
    yield from _store_mistakes(config.clients)
    if config.clients.outcomes is not None:
        yield from _outcomes_mistakes(config.clients, places)
    for table, most in (("policies", MOST_POLICIES), ("lists", MOST_LISTS)):
        names = getattr(config, table)
        if len(names) > most:
            yield table, f"{len(names)}, at most {most}"
        for name in names:
            if not NAME.fullmatch(name):
                why = f"a name has 1 to {core.MAX_NAME} of a-z, 0-9, - and _, and no - or _ first"
                yield field_of(table, name), why
    if config.control not in (None, NONE):
        yield from _address_mistakes("control", f"unix:{config.control}", places)
    if (paths := sum(len(policy.paths) for policy in config.policies.values())) > MOST_PATHS:
        yield "policies", f"{paths} paths, at most {MOST_PATHS}"
    for name, address in (config.publishers or {}).items():
        known = catalogue.load().ranges
        if name not in known:
            yield field_of("publishers", name), f"no list of networks {name!r}; {toml_file.meant(name, known)}"
        elif not re.fullmatch(r"https://[^\s/?#@]+/\S*", address):
            yield field_of("publishers", name), f"{address!r} is not https://HOST/PATH"
    for i, server in enumerate(config.dns.servers):
        try:
            resolver(server)
        except ValueError:
            yield f"dns.servers[{i}]", f"{server!r} is neither IP nor IP:PORT, as 192.0.2.1:53 or [2001:db8::1]:53"
    yield from _signature_mistakes(config)
    if config.dns.look_up and find_spec("dns") is None:
        yield "dns.look_up", "needs dnspython: install xbot[verify], or the package dnspython beside it"
    for name, policy in config.policies.items():
        yield from _policy_mistakes(config, field_of("policies", name), policy)


def _signature_mistakes(config: Config) -> Iterator[tuple[str, str]]:
    for i, host in enumerate(config.signatures.hosts):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", host):
            yield f"signatures.hosts[{i}]", f"{host!r} is neither HOST nor HOST:PORT, in small letters"
    for name, address in (config.signatures.directories or {}).items():
        known = catalogue.load().crawlers
        if name not in known:
            yield field_of("signatures.directories", name), f"no crawler {name!r}; {toml_file.meant(name, known)}"
        elif not re.fullmatch(r"https://[^\s/?#@]+/\S*", address):
            yield field_of("signatures.directories", name), f"{address!r} is not https://HOST/PATH"
    if config.signatures.hosts:
        if config.ranges is None:
            yield "signatures.hosts", "needs `ranges`, the directory in which keys are kept"
        if not (find_spec("cryptography") and find_spec("http_sfv")):
            yield "signatures.hosts", "needs cryptography and http-sfv: install xbot[verify]"


def resolver(text: str) -> tuple[str, int]:
    """(address, port) of a resolver; ValueError if the text is none."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), 53
    try:
        address = addresses.parse(text)
    except XbotError as error:
        raise ValueError(str(error)) from None
    if not isinstance(address, addresses.TcpAddress) or not address.port:
        raise ValueError(text)
    return str(ipaddress.ip_address(address.host)), address.port


def _address_mistakes(field: str, text: str, places: dict[addresses.Address, str]) -> Iterator[tuple[str, str]]:
    """`places` holds the addresses so far, with their fields."""
    try:
        address = addresses.parse(text)
    except XbotError as error:
        yield field, str(error)
        return
    taken = isinstance(address, addresses.TcpAddress) and address.port == 0
    if not taken and places.setdefault(address, field) != field:
        yield field, f"{text} is that of {places[address]} already"


def _outcomes_mistakes(clients: Clients, places: dict[addresses.Address, str]) -> Iterator[tuple[str, str]]:
    field, text = "clients.outcomes", str(clients.outcomes)
    if not text.startswith("unix:"):
        yield field, f"{text!r} is not unix:PATH: nobody but the proxy may tell what happened to requests"
    elif clients.mebibytes == 0:
        yield field, 'there is no table to count them in: clients.size is "0"'
    else:
        yield from _address_mistakes(field, text, places)


def _store_mistakes(clients: Clients) -> Iterator[tuple[str, str]]:
    """No word of an address that may hold a password."""
    field, other = "clients.store", "clients.store_key"
    if clients.store is None:
        if clients.store_key is not None:
            yield other, "there is no `store` to share by"
        return
    yield from ((field, each) for each in store.mistakes(clients.store))
    if clients.mebibytes == 0:
        yield field, 'there is no table to share: clients.size is "0"'
    if clients.store_key is None:
        yield field, "needs `store_key`, a file with the secret that the machines share"
    if find_spec("redis") is None:
        yield field, "needs redis: install xbot[store], or the package redis beside it"


def _policy_mistakes(config: Config, field: str, policy: Policy) -> Iterator[tuple[str, str]]:
    used: dict[str, str] = {}
    known = {**OURS, **config.lists}
    for use in ("allow", "deny", "verified"):
        for i, name in enumerate(getattr(policy, use)):
            found, where = known.get(name), f"{field}.{use}[{i}]"
            if use == "verified" and isinstance(policy.verified, dict):
                where = field_of(f"{field}.{use}", name)
                if catalogue.names(name):
                    continue
                if found is None:
                    every = (*catalogue.PURPOSES, *catalogue.load().crawlers, *known)
                    near = toml_file.meant(
                        name, every if difflib.get_close_matches(name, every, 1) else catalogue.PURPOSES
                    )
                    yield where, f"no purpose, crawler or list {name!r}; {near}"
                    continue
                if policy.verified[name] != "allow":
                    yield where, f"the list {name!r} can only be allowed here; a list is denied by `deny`"
            if found is None:
                yield where, f"no list {name!r}; {toml_file.meant(name, known)}"
            elif used.setdefault(name, where) != where:
                yield where, f"{name!r} is in {used[name]} already, which comes first"
            elif use == "verified" and (found.agents or found.paths or found.agent_files or found.path_files):
                yield where, f"the list {name!r} holds more than networks: anybody can send an agent or ask for a path"
    low, high = policy.suspect_above, policy.threshold
    if low is not None and high is not None and low >= high:
        yield f"{field}.suspect_above", f"{low} is not below threshold, {high}"
