"""The hash of csrc/base/hash.h, stated a second time from its comment, and the buckets that follow from it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from places import DATA, ROOT

from sidecar import core

MASK = 2**64 - 1
MIX_1, MIX_2, GOLDEN = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 0x9E3779B97F4A7C15
FOLD = 0x2020202020202020
INCIDENTS = DATA / "incidents"


def mix(h: int) -> int:
    """MurmurHash3's 64-bit finaliser with this project's shifts."""
    h ^= h >> 33
    h = h * MIX_1 & MASK
    h ^= h >> 29
    h = h * MIX_2 & MASK
    return h ^ h >> 32


def hash_text(text: bytes) -> int:
    """Little-endian words of eight bytes, the last padded with zeros, bit 5 of every byte set."""
    h = len(text) * GOLDEN & MASK
    for at in range(0, len(text), 8):
        h = (h ^ (int.from_bytes(text[at : at + 8], "little") | FOLD)) * MIX_1 & MASK
        h ^= h >> 32
    h = h * MIX_2 & MASK
    return h ^ h >> 29


def hash_bytes(data: bytes) -> int:
    """The same words as they are, each through `mix`."""
    h = len(data) * GOLDEN & MASK
    for at in range(0, len(data), 8):
        h = mix(h ^ int.from_bytes(data[at : at + 8], "little"))
    return h


def bucket(family: str, text: bytes, k: int) -> int:
    """Where a word of a family falls."""
    number = [row.name for row in core.FAMILIES].index(family) + 1
    return mix(hash_text(text) ^ number * GOLDEN & MASK) >> 64 - k


@given(st.binary(max_size=200))
def test_hash_is_as_its_comment_says(text: bytes) -> None:
    assert core.hash_text(text) == hash_text(text)


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_letters_in_either_case_hash_alike(text: str) -> None:
    assert core.hash_text(text.upper().encode()) == core.hash_text(text.lower().encode())


def test_values_are_kept() -> None:
    """They are part of what a model file means: a change here is a new version of each family and of ref_host_known."""
    assert hash_text(b"") == core.hash_text(b"") == 0
    assert core.hash_text(b"curl") == 0x93A53204193E08B4
    assert core.hash_text(b"accept-language") == 0x7280861A8E94A0FB


def clients(addresses: Iterable[str]) -> list[int]:
    """What training tells clients apart by, of a record from each address."""
    matrix, request = core.Matrix(core.MIN_K), core.Request()
    for address in addresses:
        request.load_record(None, False, agent=b"x", ip=address.encode())
        matrix.append(request)
    return list(matrix.client)


_V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
_V6 = st.integers(2**125, 2**128 - 1).map(ipaddress.IPv6Address)  # from 2000:: on, which none of IPv4 is mapped to


@given(_V4 | _V6)
def test_a_client_is_the_hash_of_its_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert clients([str(address)]) == [hash_bytes(address.packed[: 4 if address.version == 4 else 8])]


def test_neighbours_are_clients_of_their_own() -> None:
    """All 65,536 of a /16, and the incidents: pairs that once were one client."""
    assert len(set(clients(f"198.51.{n >> 8}.{n & 255}" for n in range(1 << 16)))) == 1 << 16
    for line in (INCIDENTS / "clients.tsv").read_text().splitlines():
        if not line.startswith("#"):
            one, other, alike = line.split("\t")
            first, second = clients([one, other])
            assert (first == second) == (alike == "one client"), line


@given(_V4 | _V6, _V4 | _V6)
def test_two_addresses_are_two_clients(
    one: ipaddress.IPv4Address | ipaddress.IPv6Address, other: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    """But for those of one /64."""
    alike = one == other or (one.version == other.version == 6 and one.packed[:8] == other.packed[:8])
    first, second = clients([str(one), str(other)])
    assert (first == second) == alike
    assert first
    assert second


@given(_V6, st.binary(min_size=8, max_size=8), st.integers(0, 63))
def test_a_network_of_64_bits_is_one_client(address: ipaddress.IPv6Address, rest: bytes, bit: int) -> None:
    inside = ipaddress.IPv6Address(address.packed[:8] + rest)
    beside = ipaddress.IPv6Address(int(address) ^ 1 << 64 + bit)
    first, second, third = clients(map(str, (address, inside, beside)))
    assert first == second != third


def test_no_client_is_unknown() -> None:
    """0 stands for that."""
    assert clients(["", "nobody"]) == [0, 0]
    assert 0 not in clients(["0.0.0.0", "::", "::1", "255.255.255.255"])


def test_no_word_of_this_project_collides() -> None:
    """Agents, header names and features are told apart by their hash."""
    words = {row.name.encode() for row in (*core.FEATURES, *core.FAMILIES)}
    words |= {b"%x" % n for n in range(20_000)}
    assert len({core.hash_text(word) for word in words}) == len(words)


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters=".-"), max_size=40).map(str.encode)
)
def test_host_hash_is_the_upper_half_without_www(host: bytes) -> None:
    bare = host[4:] if host[:4].lower() == b"www." else host
    assert core.host_hash(host) == hash_text(bare) >> 32
    if bare == host:
        assert core.host_hash(b"WWW." + host) == core.host_hash(host)


# What a word is: letters, digits and bytes above 0x7f; those that are digits only are left out; the first 64 count.
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")


def words_of(text: bytes) -> list[bytes]:
    return [word for word in _WORD.findall(text) if not word.isdigit()][:64]


def first_of_each_bucket(words: list[bytes], family: str, k: int) -> list[int]:
    return list(dict.fromkeys(bucket(family, word, k) for word in words))


def tokens(request: core.Request, family: str, k: int) -> list[int]:
    return [bucket for bucket, name, _ in request.features(k)[1] if name == family]


_BYTES = st.binary(max_size=300) | st.lists(
    st.sampled_from([b"Chrome", b"chrome", b"1", b"12a", b"/", b" ", b"; ", b"\xc3\xa9", b"bot", b"-", b"_", b"\x7f"]),
    max_size=200,
).map(b"".join)


@pytest.mark.parametrize("k", [core.MIN_K, 15, core.MAX_K])
@given(text=_BYTES)
def test_words_of_an_agent(k: int, text: bytes) -> None:
    request = core.Request()
    request.load_record([(b"User-Agent", text)], True)
    assert tokens(request, "ua_word", k) == first_of_each_bucket(words_of(text if text != b"-" else b""), "ua_word", k)


@given(text=_BYTES)
def test_words_of_a_path(text: bytes) -> None:
    request = core.Request()
    path = b"/" + text.replace(b"?", b"")
    request.load_record([], False, uri=path + b"?not=these")
    words = words_of(path)
    assert tokens(request, "url_word", 20) == first_of_each_bucket(words, "url_word", 20)


def test_families_are_told_apart() -> None:
    """The same word as agent, path, referrer's host and header name falls into four buckets."""
    assert len({bucket(family, b"word", 20) for family in ("ua_word", "url_word", "ref_host", "hdr_name")}) == 4
    request = core.Request()
    request.load_record([(b"User-Agent", b"Word"), (b"Referer", b"http://WORD/"), (b"word", b"")], True, uri=b"/word")
    found = {(name, text): at for at, name, text in request.features(20)[1]}
    for family in ("ua_word", "url_word", "ref_host", "hdr_name"):
        assert found[family, "word"] == bucket(family, b"word", 20)


_HEADERS = (ROOT / "csrc" / "request" / "headers.def").read_bytes()
ROLES = dict(re.findall(rb'^XB_HEADER\(\w+, "([^"]+)", (\w+)\)', _HEADERS, re.MULTILINE))


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=12) | st.sampled_from(sorted(ROLES)), st.binary(max_size=9)),
        max_size=40,
    )
)
@example([(b"x", b"")] * 32 + [(b"accept", b""), (b"y", b"")])
def test_names_of_headers_and_their_order(headers: list[tuple[bytes, bytes]]) -> None:
    """Each name that has a meaning and the first 32 others, each with the one before it; the values of two. A bucket that is
    there already is not taken again."""
    families = [row.name for row in core.FAMILIES]
    visitors = [(name, value) for name, value in headers if ROLES.get(name.lower(), b"VISITOR") == b"VISITOR"]
    wanted, before, others = {}, 0, 0
    for name, value in visitors:
        others += name.lower() not in ROLES
        if others > 32 and name.lower() not in ROLES:
            continue
        h = hash_text(name)
        words = [("hdr_name", h), ("hdr_order", before * MIX_1 + h & MASK)]
        if name.lower() in (b"accept", b"accept-encoding"):
            words.append(("hdr_value", h * MIX_1 + hash_text(value) & MASK))
        for family, word in words:
            number = families.index(family) + 1
            wanted.setdefault(mix(word ^ number * GOLDEN & MASK) >> 64 - 20, family)
        before = h
    request = core.Request()
    request.load_record(headers, True)
    found = [(at, family) for at, family, _ in request.features(20)[1] if family.startswith("hdr_")]
    # Words of the agent and the referrer come first, and take their buckets.
    taken = {at for at, family, _ in request.features(20)[1] if not family.startswith("hdr_")}
    assert found == [(at, family) for at, family in wanted.items() if at not in taken]
