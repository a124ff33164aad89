"""bench/traffic: who is on which side, how time runs, what is made of a session, and what a figure counts."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from places import ROOT, run_xbot

sys.path.insert(0, str(ROOT / "bench" / "traffic"))

pytest.importorskip("aiohttp", reason="needs the packages of the group `test`")
pytest.importorskip("numpy", reason="needs the extra `train`")

import measure
import mix
import people
import record
import rests

from sidecar import core
from sidecar.sources import records


def is_host(name: str) -> bool:
    """Whether the machine knows an address for this name: a root without /etc/hosts knows none for itself."""
    with suppress(OSError):
        return bool(socket.getaddrinfo(name, None))
    return False


PLACE = ROOT / "bench" / "traffic"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
HINTS = [
    ["sec-ch-ua", '"Not:A-Brand";v="8", "Chromium";v="156"'],
    ["sec-ch-ua-mobile", "?0"],
    ["sec-ch-ua-platform", '"Linux"'],
]


def one(time: float, uri: str = "/", kind: str = "text/html", **more: Any) -> dict[str, Any]:
    """A record of a session."""
    return {
        "label": "human", "session": "reader chromium 0", "family": "reader", "kind": "person", "side": "looked", "time": time,
        "method": "GET",
        "uri": uri, "status": 200, "bytes": 10, "type": kind, "connection": 4, "connection_requests": 1,
        "headers": [*HINTS, ["user-agent", CHROME], ["cookie", "visit=aa"]], **more,
    }  # fmt: skip


SESSION = [one(0), one(0.1, "/a.css", "text/css"), one(60, "/b"), one(60.1, "/b.css", "text/css"), one(200, "/c")]


def test_each_family_is_on_one_side() -> None:
    """Of all that is recorded, and of each who nothing is recorded of."""
    rows = [line.split("\t") for line in (PLACE / "split.tsv").read_text().splitlines() if not line.startswith("#")]
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names)
    recorded = {client.family for client in record.clients(len(people.SCRIPTS) * 9)}
    assert recorded == set(names)
    for who in ("person", "program"):
        assert {side for _, is_a, _, side in rows if is_a == who} == {"looked", "held"}


def test_a_client_has_a_name_of_its_own() -> None:
    """Its session is a file of that name."""
    names = [record.name_of(client) for client in record.clients(100)]
    assert len(set(names)) == len(names)


def test_the_folder_is_small() -> None:
    """At most twelve source files: what outgrows that is two things."""
    sources = [path for path in PLACE.iterdir() if path.suffix in (".py", ".mjs", ".sh")]
    assert len(sources) <= 12


def test_rests_are_time(tmp_path: Path) -> None:
    """What a client skipped before a request came counts for it; a stated gap before each but the first does, too."""
    (tmp_path / "rests").mkdir()
    (tmp_path / "rests" / "7").write_text("1000.500000 90.000\n1002.000000 86400.000\n")
    asked = [
        {"arrived": at, "headers": [["Referer", "https://localhost:7/x"], ["Origin", "https://127.0.0.1:9"]], "tls": {},
         **dict.fromkeys(("method", "uri", "protocol", "status", "bytes", "type", "connection", "connection_requests"), 0)}
        for at in (1003.0, 1000.0, 1001.0)
    ]  # fmt: skip
    found = record.session(record.Client("x", "reader", ""), asked, 7, 9, tmp_path)
    assert [each["time"] for each in found] == [0, 91, 86493]
    assert found[0]["headers"] == [["Referer", "https://shop.example/x"], ["Origin", "https://www.google.com"]]
    gapped = record.session(record.Client("x", "reader", "", (10.0, 0.0)), asked, 8, 9, tmp_path)
    assert [each["time"] for each in gapped] == [0, 11, 23]


def test_a_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_RESTS", str(tmp_path / "rests"))
    rests.rest(30)
    assert [seconds for _, seconds in record.skipped(tmp_path / "rests")] == [30]


def test_a_client_is_its_session_elsewhere_and_later() -> None:
    """Times run on, the connection and the cookie are its own, and nothing else is changed but by its dress."""
    mixer = mix.Mixer([], 1)
    first, second = (mixer.client(SESSION, 1000.0, mixer.address(), mix.AS_IT_IS, 0.4) for _ in range(2))
    assert [record["uri"] for record in first] == [record["uri"] for record in SESSION]
    assert all(a["time"] < b["time"] for a, b in pairwise(first))
    assert first[1]["time"] == pytest.approx(first[0]["time"] + 0.1)  # what a page loads keeps its pace
    assert first[2]["time"] - first[1]["time"] != pytest.approx(59.9)  # what somebody rests does not
    for name in ("client", "ip", "connection"):
        assert first[0][name] != second[0][name]
    assert first[0]["headers"][:4] == SESSION[0]["headers"][:4]
    assert first[0]["headers"][4] != second[0]["headers"][4] != SESSION[0]["headers"][4]


@pytest.mark.parametrize("dress", mix.CHROMES, ids=lambda dress: dress.agent)
def test_a_dress_says_one_thing(dress: mix.Dress) -> None:
    """Agent and hints name the same version and system; the order of headers stays."""
    head = mix.dressed(SESSION[0]["headers"], dress)
    assert [name for name, _ in head] == [name for name, _ in SESSION[0]["headers"]]
    said = dict(head)
    version = re.search(r"Chrome/(\d+)", said["user-agent"])
    assert version is not None
    assert said["sec-ch-ua"].count(f'v="{version[1]}"') == 2
    words = {'"Windows"': "Windows NT", '"macOS"': "Macintosh", '"Android"': "Android", '"Linux"': "X11; Linux"}
    assert words[said["sec-ch-ua-platform"]] in said["user-agent"]
    assert (said["sec-ch-ua-mobile"] == "?1") == ("Mobile" in said["user-agent"])
    assert ("Edg/" in said["user-agent"]) == ("Edge" in said["sec-ch-ua"])


def test_who_leaves_leaves_at_a_page() -> None:
    mixer = mix.Mixer([], 3)
    lengths = {len(mixer.person([SESSION])) for _ in range(60)}
    assert lengths == {2, 4, 5}


def test_offices_share_an_address() -> None:
    mixer = mix.Mixer([], 2)
    clients: dict[str, set[str]] = {}
    for each in mix.people_of(mixer, [SESSION], 300):
        clients.setdefault(each["ip"], set()).add(each["client"])
    assert {len(found) for found in clients.values()} == {1, 10}


def test_a_fleet_is_many_addresses_with_a_request_or_two() -> None:
    mixer = mix.Mixer([], 2)
    found = list(mix.fleet(mixer, [SESSION], "fleet", 50))
    assert len({record["ip"] for record in found}) == 50
    assert {sum(record["client"] == name for record in found) for name in {record["client"] for record in found}} == {
        1,
        2,
    }
    assert not any(name == "cookie" for record in found for name, _ in record["headers"])
    whole = list(mix.fleet(mixer, [SESSION], "fleet", 5, parts=True))
    assert [record["uri"] for record in whole[:2]] == ["/", "/a.css"]
    assert len(whole) == 10


def test_a_log_is_in_the_order_of_time(tmp_path: Path) -> None:
    mixer = mix.Mixer([], 2)
    held = mix.write(tmp_path / "log.jsonl.gz", list(mix.people_of(mixer, [SESSION], 20)))
    times = [
        json.loads(line)["time"] for line in gzip.decompress((tmp_path / "log.jsonl.gz").read_bytes()).splitlines()
    ]
    assert times == sorted(times)
    assert held == {"requests": len(times), "clients": {"people, looked": 20}}


def test_a_client_is_refused_from_the_first_request_that_is() -> None:
    client = measure.Client("people", "looked", "reader", margins=[0.1, 0.2, 0.9, 0.3])
    assert measure.shares([client], 0.5) == ["1", "0.0%", "100.0%", "100.0%", "100.0%", "100.0%"]
    assert measure.shares([client], 0.9) == ["1", *["0.0%"] * 5]


def test_the_threshold_refuses_no_more_than_its_share() -> None:
    rng = random.Random(1)
    clients = [measure.Client("people", "looked", "reader", margins=[rng.random()]) for _ in range(1000)]
    threshold = measure.threshold_of(clients, 0.005)
    assert sum(client.worst(None) > threshold for client in clients) == 5


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, str(PLACE / "measure.py"), "--recordings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"xbot: {tmp_path}/looked.jsonl.gz: not there; record.py and mix.py make it\n"


def test_pictures_without_an_ending_are_parts() -> None:
    """Where all others load such, who opens pages and loads none is seen."""
    table, request = core.Clients(1), core.Request()
    row = [feature.name for feature in core.FEATURES].index("cl_no_part_2")

    def asks(ip: str, time: float, uri: str, dest: str, accept: str) -> float:
        said = {
            **one(1000 + time, uri), "ip": ip, "protocol": "HTTP/2.0", "scheme": "https", "host": "shop.example", "connection_requests": 2,
            "headers": [["user-agent", CHROME], ["accept", accept], ["sec-fetch-dest", dest], ["sec-fetch-site", "same-origin"]],
        }  # fmt: skip
        for unknown in ("status", "bytes", "type"):
            del said[unknown]
        records.load_record(json.dumps(said).encode(), request)
        table.read(request)
        found = request.features(8)[0][row]
        table.count(request)
        return found

    pages = [
        (10 * number, f"/p/{number}", "document", "text/html,application/xhtml+xml,*/*;q=0.8") for number in range(4)
    ]
    for number in range(40):
        for time, *page in pages:
            assert asks(f"127.0.1.{number}", 100 * number + time, *page) != 1
            for picture in range(3):
                asks(
                    f"127.0.1.{number}",
                    100 * number + time + 1,
                    f"/img/{number}-{picture}",
                    "image",
                    "image/avif,*/*;q=0.8",
                )
    assert [asks("127.9.9.9", 5000 + time, *page) for time, *page in pages] == [0, 0, 1, 1]


@pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("curl")), reason="needs nginx and curl")
@pytest.mark.skipif(not is_host("localhost"), reason="no address for localhost: /etc/hosts has no line for it")
def test_real_clients_are_recorded(tmp_path: Path) -> None:
    """Two programs over https, through nginx: what they sent, in its order, what they were answered, and their handshake."""
    command = [sys.executable, str(PLACE / "record.py"), "--out", str(tmp_path), "--people", "0"]
    only = ("--only", "curl plain same", "--only", "requests plain search")
    subprocess.run([*command, *only], check=True, capture_output=True, timeout=120)
    curl = [json.loads(line) for line in (tmp_path / "sessions" / "curl-plain-same.jsonl").read_text().splitlines()]
    assert [name.lower() for name, _ in curl[1]["headers"]] == ["user-agent", "accept"]
    assert {each["host"] for each in curl} == {"shop.example"}
    assert {each["status"] for each in curl} == {200}
    assert curl[1]["tls"]["ciphers"]
    assert curl[1]["type"].startswith("text/html")
    assert curl[-1]["connection_requests"] > 10
    searched = [
        json.loads(line) for line in (tmp_path / "sessions" / "requests-plain-search.jsonl").read_text().splitlines()
    ]
    assert searched[-1]["time"] > 15  # twenty words with two seconds between, in less than a minute
    said = run_xbot("score", "--format", "jsonl", tmp_path / "sessions" / "curl-plain-same.jsonl").stdout.splitlines()
    assert len(said) == len(curl)
