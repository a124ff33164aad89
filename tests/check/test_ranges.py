"""`xbot check` on the lists of crawlers' networks: which are old, damaged or missing, and whether keys are there."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from click.testing import CliRunner

from sidecar.check.cli import check
from sidecar.verify import catalogue, ranges, signatures

KEYS = b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}]}'


def told(place: Path, text: str) -> dict[str, list[str]]:
    (place / "xbot.toml").write_text(text)
    done = CliRunner().invoke(
        check, [str(place / "xbot.toml"), "--json", "--nginx", str(place / "none")], standalone_mode=False
    )
    found: dict[str, list[str]] = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["about"], []).append(f"{each['status']} {each['what']}")
    return found


def today(days: int = 0) -> datetime.date:
    return datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days)


def test_packaged_lists_are_old_one_day(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ranges, "OLD", 100000)
    assert [line[:30] for line in told(tmp_path, "")["ranges"]] == ["ok 15 lists of crawlers' netwo"]
    monkeypatch.setattr(ranges, "OLD", 1)
    (line,) = told(tmp_path, "")["ranges"]
    assert line.startswith("warning ahrefs, applebot, ")
    assert line.endswith("1 days old or more: an absence from them disproves nobody")


def test_fetched_lists_and_keys(tmp_path) -> None:
    place = tmp_path / "ranges"
    place.mkdir()
    copies, _ = ranges.newest(None)
    networks = next(iter(copies.values())).networks[:2]
    for name in catalogue.load().ranges:
        (place / f"{name}.txt").write_text(ranges.text_of(networks, today(), "test"))
    text = 'ranges = "ranges"\n[signatures]\nhosts = ["example.com"]\n'
    found = told(tmp_path, text)
    assert found["ranges"] == ["ok 17 lists of crawlers' networks, 0 days old at most"]
    assert found["signatures"] == ["warning no keys of chatgpt-agent, google-agent: they prove nobody"]
    for name, address in catalogue.directories().items():
        signatures.file_of(place, name).write_text(signatures.text_of(KEYS, address, today()))
    (place / "gptbot.txt").write_text(ranges.text_of(networks, today(3), "test"))
    (place / "ccbot.txt").write_text("no date\n")
    (place / "mistralai-user.txt").unlink()
    found = told(tmp_path, text)
    assert "signatures" not in found
    assert found["ranges"] == [
        f"warning {place}/ccbot.txt:1: it does not begin with its date: it is not used",
        "warning ccbot, gptbot: 3 days old or more: they were not fetched since",
        "warning no copy of mistralai-user: it proves and disproves nobody",
    ]
