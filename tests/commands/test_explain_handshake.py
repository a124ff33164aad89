"""`xbot explain` tells a person of the handshake: whose it is, what was agreed on, and whom the agent claims to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tables

HANDSHAKES = {name: (suites, groups) for name, _, suites, groups, _ in tables.rows("handshakes.tsv", 5)}
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
EXPLORER = "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"


def line(agent: str, tls: dict[str, Any] | None) -> str:
    return (
        json.dumps({"ip": "192.0.2.7", "uri": "/", "scheme": "https", "headers": [["User-Agent", agent]], "tls": tls})
        + "\n"
    )


def of(name: str, **more: str) -> dict[str, str]:
    suites, groups = HANDSHAKES[name]
    return {"ciphers": suites, "curves": groups, **more}


@pytest.mark.parametrize(
    ("agent", "tls", "said"),
    [
        (
            CHROME,
            of("curl 7.88, OpenSSL 3.0", protocol="TLSv1.3", alpn="-", reused="r"),
            "handshake: OpenSSL, TLSv1.3, no protocol agreed on, resumed; agent claims Chrome 150",
        ),
        (CHROME, of("chromium 156", alpn="h2"), "handshake: BoringSSL, as Chromium, h2; agent claims Chrome 150"),
        (EXPLORER, of("Go 1.24"), "handshake: Go; agent claims Internet Explorer"),
        ("curl/8", of("nobody", reused="."), "handshake: of an unknown program; agent claims no browser"),
        ("curl/8", {"protocol": "TLS\x1b[31m"}, "handshake: program unknown, TLS\\x1b[31m; agent claims no browser"),
        (CHROME, {}, None),
        (CHROME, None, None),
    ],
)
def test_what_is_said(
    xbot, made_model_path: Path, tmp_path: Path, agent: str, tls: dict[str, Any], said: str | None
) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text(line(agent, tls))
    shown = xbot("explain", "--model", made_model_path, "--format", "jsonl", log).stdout.decode()
    found = [text.strip() for text in shown.splitlines() if text.startswith("handshake:")]
    assert found == ([] if said is None else [said])


def objects(xbot, path: Path, log: Path) -> list[dict[str, Any]]:
    shown = xbot("explain", "--model", path, "--format", "jsonl", "--json", log).stdout
    return [json.loads(text) for text in shown.splitlines()]


def test_the_json_names_the_program(xbot, made_model_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text(line(CHROME, of("Java 17")) + line(CHROME, None))
    told = objects(xbot, made_model_path, log)
    assert [one["handshake"] for one in told] == ["java", None]


def test_plain_http_lacks_no_handshake(xbot, made_model_path: Path, tmp_path: Path) -> None:
    """Over https a handshake that the log does not hold is missed; over plain http there is none."""
    log = tmp_path / "a.jsonl"
    https = line(CHROME, None)
    log.write_text(https + https.replace('"https"', '"http"'))
    told = objects(xbot, made_model_path, log)
    assert ["tls" in one["groups_not_held"] for one in told] == [True, False]
