"""xbot train --start: what the model to start from knows is kept, and only what the rows add is learned. And the warnings at its end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from sidecar import core, model
from sidecar.sources.formats import find
from training.corpus import generate, published

np = pytest.importorskip("numpy", reason="training needs its extra")
pytest.importorskip("sklearn", reason="training needs its extra")
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)),
    reason="needs the packages of the extra `corpus`",
)
CURL = "curl/8.5.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36"
)


def line(n: int, agent: str, path: str, client: int | None = None) -> str:
    """A line of a combined log."""
    who = client or n
    said = f'[27/Nov/2026:10:00:00 +0000] "GET {path} HTTP/1.1" 200 5 "-" "{agent}"'
    return f"198.51.{who // 250}.{who % 250} - - {said}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site, whose bots all say so: people's lines, and as many of curl."""
    place = tmp_path_factory.mktemp("site")
    people = [line(n, CHROME, f"/page/{n % 7}") for n in range(200)]
    bots = [line(n + 250, CURL, f"/data/{n % 5}.json") for n in range(200)]
    (place / "log").write_text("".join(people + bots))
    (place / "labels").write_text("".join(f"{n + 1}\t{'human' if n < 200 else 'bot'}\n" for n in range(400)))
    return place


@pytest.fixture(scope="module")
def records() -> list[core.Request]:
    """Requests of the corpus, whole."""
    made, read = [], find("jsonl").record
    assert read is not None
    for record in generate(5, 400):
        request = core.Request()
        read(msgspec.json.encode(record), request)
        made.append(request)
    return made


def margins(path: Path, requests: list[core.Request]) -> np.ndarray:
    loaded = model.load(path)
    return np.array([loaded.judge(request).margin for request in requests])


def train(xbot, site: Path, out: str, *options: str, code: int = 0):
    return xbot(
        "train",
        "--format",
        "combined",
        "--labels",
        site / "labels",
        "--out",
        site / out,
        *options,
        site / "log",
        code=code,
    )


def test_what_the_log_does_not_hold_is_kept(xbot, site: Path, records: list[core.Request]) -> None:
    """A log without headers teaches nothing about them, so on whole requests the model must still know what the default knows."""
    train(xbot, site, "alone.xbot")
    train(xbot, site, "begun.xbot", "--start", "default")
    default = margins(model.DEFAULT, records)
    begun, alone = margins(site / "begun.xbot", records), margins(site / "alone.xbot", records)
    assert np.corrcoef(default, begun)[0, 1] > 0.9
    assert np.corrcoef(default, alone)[0, 1] < 0.7
    loaded = model.load(site / "begun.xbot")
    assert loaded.header["groups"] & core.GROUPS["headers"]
    assert loaded.provenance["settings"]["start"]["name"] == "default"


def test_the_less_it_may_learn_the_nearer_it_stays(xbot, site: Path, records: list[core.Request]) -> None:
    """But for the bias, which is free."""
    default = margins(model.DEFAULT, records)
    distance = {}
    for c in ("1e-6", "0.001", "1"):
        train(xbot, site, f"c{c}.xbot", "--start", "default", "-C", c)
        distance[c] = float(np.std(margins(site / f"c{c}.xbot", records) - default))
    assert distance["1e-6"] < 0.01
    assert distance["1e-6"] < distance["0.001"] < distance["1"]


def test_bounded_evidence_stays_bounded(xbot, site: Path) -> None:
    """The default has no weight below 0, and none is learned."""
    train(xbot, site, "bounded.xbot", "--start", "default", "--evidence", "bounded", "-C", "1")
    assert min(model.load(site / "bounded.xbot").weight) >= 0.0
    train(xbot, site, "free.xbot", "--start", "default", "-C", "1")
    assert min(model.load(site / "free.xbot").weight) < 0.0


def test_the_margins_of_the_file_are_those_of_the_pipeline(xbot, site: Path) -> None:
    joblib = pytest.importorskip("joblib")
    options = ("--start", "default", "--pipeline", str(site / "kept.joblib"))
    train(xbot, site, "both.xbot", *options)
    from training.dataset import How, masked_names, read
    from training.labels import read_labels
    from training.linear import margins_of

    without = [
        family.name
        for i, family in enumerate(core.FAMILIES)
        if family.name in ("ref_host", "hdr_name", "hdr_order", "ip_net")
    ]
    how = How("combined", 15, None, masked_names([*without, "ip", "tls_ciphers", "tls_curves", "tls_sigalgs"]))
    data = read([str(site / "log")], how, labels=read_labels(site / "labels"))
    expected = margins_of(joblib.load(site / "kept.joblib"), data.X, np.arange(len(data.y)))
    loaded, request = model.load(site / "both.xbot"), core.Request()
    for row, text in enumerate((site / "log").read_bytes().splitlines()):
        request.load_line("combined", text)
        assert loaded.judge(request).margin == pytest.approx(expected[row], abs=1e-9)


def test_what_cannot_be_a_start(xbot, site: Path) -> None:
    done = train(xbot, site, "no.xbot", "--start", "default", "--model", "nb", code=2)
    assert done.stderr.decode() == "xbot: --start needs --model svm, not nb\n"
    (site / "other.xbot").write_bytes(b"\x89XBOT")
    done = train(xbot, site, "no.xbot", "--start", str(site / "other.xbot"), code=2)
    assert done.stderr.count(b"\n") == 1


def test_it_warns_where_nobody_knows_how_disguised_bots_fare(xbot, site: Path) -> None:
    done = train(xbot, site, "warned.xbot")
    assert b"xbot: beware: 0 of the bots\xe2\x80\x99 requests have a browser\xe2\x80\x99s agent" in done.stderr
    assert train(xbot, site, "quiet.xbot", "--quiet").stderr == b""


def test_it_warns_of_disguised_bots_that_it_misses(xbot, tmp_path: Path) -> None:
    """People and disguised bots alike to the last byte: only those that say what they are can be caught."""
    text, labels = [], []
    for n in range(600):
        agent = CURL if n >= 300 else CHROME
        text.append(line(n, agent, f"/page/{n % 7}"))
        labels.append(f"{n + 1}\t{'bot' if n >= 300 or n % 6 == 0 else 'human'}\n")
    (tmp_path / "log").write_text("".join(text))
    (tmp_path / "labels").write_text("".join(labels))
    done = train(xbot, tmp_path, "m.xbot")
    assert "xbot: beware: Of the bots with a browser’s agent 0% are caught" in done.stderr.decode()


def test_it_warns_where_the_default_is_better(xbot, tmp_path: Path) -> None:
    """Bots of many kinds, each of them once: what is learned from some says nothing of the others."""
    agents = [f"{word}bot/1.0 (+http://{word}.example/)" for word in ("a", "b", "c", "d", "e", "f")]
    text = [line(n, CHROME, f"/page/{n % 7}") for n in range(300)]
    text += [line(n + 300, agents[n % 6] if n % 2 else "Wget/1.21", f"/page/{n % 7}", 300 + n % 6) for n in range(60)]
    (tmp_path / "log").write_text("".join(text))
    (tmp_path / "labels").write_text("".join(f"{n + 1}\t{'human' if n < 300 else 'bot'}\n" for n in range(360)))
    done = train(xbot, tmp_path, "m.xbot", "--without", "ua")
    assert "xbot: beware: The default model is better on these rows" in done.stderr.decode()
    assert "--start default" in done.stderr.decode()


def test_it_warns_of_a_proxys_address(xbot, site: Path, tmp_path: Path) -> None:
    text = (site / "log").read_text().splitlines()
    (tmp_path / "log").write_text("".join(f"10.0.0.1 {each.partition(' ')[2]}\n" for each in text))
    (tmp_path / "labels").write_text((site / "labels").read_text())
    done = train(xbot, tmp_path, "m.xbot")
    assert "xbot: beware: All requests come from one address: that of a proxy?" in done.stderr.decode()
