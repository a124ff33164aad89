"""From a fitted pipeline to a model file.

Law: nothing is computed here; the arrays are those of training.linear, the file's layout is sidecar.model's.
"""

from __future__ import annotations

import array
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn.pipeline import Pipeline

import sidecar
from sidecar import core, model, outputs
from training.dataset import Dataset, How, never_held, words_of
from training.fit import BEHAVIOUR, FOLDS, TRIFLE, Fitted, Settings
from training.linear import linear_of, unfold
from training.options import epoch

# Stored in each model with their margins: a build that gives other margins refuses the file. Made up, no one's traffic.
TEST_HEADS = tuple(
    ("GET / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n").encode("latin-1")
    for headers in (
        [],
        [("X-Real-IP", "192.0.2.7"), ("X-Original-URI", "/"), ("X-Original-Method", "GET"), ("User-Agent", "curl/8.5.0"), ("Accept", "*/*")],
        [
            ("X-Real-IP", "2001:db8::17"), ("X-Original-URI", "/shop/item.php?id=17&x=%41"), ("X-Original-Method", "POST"),
            ("X-Original-Protocol", "HTTP/2.0"), ("X-Original-Scheme", "https"), ("X-Original-Host", "www.example.org"),
            ("sec-ch-ua", '"Chromium";v="147", "Not.A/Brand";v="8"'), ("sec-ch-ua-mobile", "?0"), ("sec-ch-ua-platform", '"Windows"'),
            ("upgrade-insecure-requests", "1"),
            ("user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36"),
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
            ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"),
            ("referer", "https://example.org/shop/?q=a"), ("accept-encoding", "gzip, deflate, br, zstd"), ("accept-language", "en-GB,en;q=0.9"),
        ],
        [
            ("X-Real-IP", "198.51.100.200"), ("X-Original-URI", "/.git/config"), ("X-Original-Method", "GET"), ("X-Original-Protocol", "HTTP/1.0"),
            ("User-Agent", "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/\xe9)"), ("Accept-Encoding", "identity"),
            ("Referer", "http://203.0.113.5/a/b?c=d"), ("X-Unheard-Of", "\x01\x7f\xff"),
        ],
    )
)  # fmt: skip


def strongest_words(pipeline: Pipeline, most: int = 200) -> set[int]:
    """The buckets with the largest weights, by absolute value."""
    weights = np.abs(linear_of(pipeline.named_steps["machine"])[1][len(core.FEATURES) :])
    order = np.argsort(-weights, kind="stable")[:most]
    return {int(bucket) for bucket in order if weights[bucket] > 0}


def provenance(
    data: Dataset,
    fitted: Fitted,
    words: dict[int, str],
    settings: Settings,
    how: How,
    created: int,
    sessions: Dataset | None = None,
) -> dict[str, Any]:
    """What the file says of itself. `created`: seconds since 1970 UTC.

    Networks are not named: a model file may be handed on, and must not tell who visited.
    """
    return {
        "created": created,
        "xbot": sidecar.__version__,
        "sources": [asdict(source) for source in data.sources],
        "rows": len(data.y),
        "bots": int((data.y == 1).sum()),
        "humans": int((data.y == 0).sum()),
        "machine": type(fitted.pipeline.named_steps["machine"]).__name__,
        "settings": {**settings.as_dict(), "format": how.log_format, "folds": FOLDS, "without": sorted(how.without)}
        | ({"clients": True} if how.looks_back else {}),
        "split": fitted.split,
        "held_out": fitted.figures.as_dict(),
        "margins": spread(fitted.margins),
        **({"told": told(data, how)} if how.looks_back else {}),
        **_bounds(fitted),
        **_sessions(fitted, sessions),
        **_proven(fitted),
        "versions": {
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "words": {
            str(bucket): "ip_net" if text.startswith("ip_net=") else text for bucket, text in sorted(words.items())
        },
    }


def spread(margins: np.ndarray) -> list[int]:
    """How the margins of the rows are spread, out of fold: counted as a sidecar counts those that it gives (csrc/board/counters.h), which
    compares the two."""
    buckets = np.clip(np.floor(2 * margins) + core.MARGINS // 2, 0, core.MARGINS - 1).astype(int)
    return [int(n) for n in np.bincount(buckets, minlength=core.MARGINS)]


def told(data: Dataset, how: How) -> dict[str, float]:
    """Of the groups that were in training, in which share of the rows something of them was known, to four digits. A sidecar compares that
    with its own requests. It says something of a site where the rows are its traffic as it came."""
    absent = np.bincount(data.X.indices[np.isnan(data.X.data)], minlength=len(core.FEATURES))
    least: dict[str, int] = {}
    for row, times in zip(core.FEATURES, absent.tolist(), strict=False):  # behind these are words
        least[row.group] = min(times, least.get(row.group, times))
    kept = groups_of(data, how)
    return {group: round(1.0 - times / len(data.y), 4) for group, times in least.items() if kept & core.GROUPS[group]}


def _bounds(fitted: Fitted) -> dict[str, Any]:
    """What bounded evidence is bounded to, and what free evidence would have found on the same folds."""
    if fitted.free is None:
        return {}
    return {"bounded": {"trifle": TRIFLE, "recall": fitted.figures.recall, "recall_free": fitted.free.recall}}


def _sessions(fitted: Fitted, sessions: Dataset | None) -> dict[str, Any]:
    """What behaviour was learned from, and how it did on clients that were held out."""
    if fitted.behaviour is None or sessions is None:
        return {}
    sources = [asdict(source) for source in sessions.sources]
    return {"sessions": {"sources": sources, "rows": len(sessions.y), **asdict(fitted.behaviour)}}


def _proven(fitted: Fitted) -> dict[str, Any]:
    """Between which scores the threshold may move, and how many proven clients there were."""
    if fitted.bounds is None or fitted.proven is None:
        return {}
    return {
        "threshold": {"lowest": fitted.bounds[0], "highest": fitted.bounds[1], "proven_clients": fitted.proven.clients}
    }


def groups_of(data: Dataset, how: How) -> int:
    """The groups that were in training, as bits: seen, and not left out whole."""
    return data.present & _wanted(how)


def _wanted(how: How) -> int:
    """The groups that are not left out whole, as bits."""
    rows = [*core.FEATURES, *core.FAMILIES]
    kept = {row.group for row in rows if row.name not in how.without}
    return sum(bits for name, bits in core.GROUPS.items() if name in kept)


def families_of(data: Dataset, how: How) -> int:
    """The families whose words were in training, as bits: of a group that was seen, and not left out."""
    seen = sum(1 << i for i, family in enumerate(core.FAMILIES) if core.GROUPS[family.group] & data.present)
    return seen & how.families


def write(path: Path, data: Dataset, fitted: Fitted, how: How, about: dict[str, Any]) -> None:
    """Writes the model file. The groups that no row held are not in `groups`; their weights are 0."""
    arrays, start = unfold(fitted.pipeline), fitted.start
    weight = arrays.weight
    taught = set(BEHAVIOUR) if fitted.behaviour is not None else set()
    weight[list(set(never_held(how)) - taught)] = 0.0  # naive Bayes weighs columns that were never there, too
    if start is not None:
        arrays = start.restored(arrays, taught)
    parts = model.Parts(
        bias=arrays.bias,
        threshold=fitted.threshold,
        a=fitted.a,
        b=fitted.b,
        k=data.k,
        groups=groups_of(data, how)
        | (core.GROUPS["client"] if taught else 0)
        | (start.groups & _wanted(how) if start is not None else 0),
        families=families_of(data, how) | (start.families & how.families if start is not None else 0),
        mean=arrays.mean.data,
        scale=arrays.scale.data,
        lower=arrays.lower.data,
        upper=arrays.upper.data,
        weight=arrays.weight.data,
        hosts=how.hosts or array.array("I"),
        provenance=about,
    )
    outputs.write(path, model.pack(parts, TEST_HEADS))


def _created(logs: tuple[str, ...]) -> int:
    """The time in the provenance: SOURCE_DATE_EPOCH or that of the newest log: the same logs give the same file."""
    if (said := epoch()) is not None:
        return said
    return max((int(Path(log).stat().st_mtime) for log in logs if Path(log).is_file()), default=0)


def write_model(
    out: Path,
    data: Dataset,
    fitted: Fitted,
    settings: Settings,
    how: How,
    logs: tuple[str, ...],
    sessions: Dataset | None = None,
) -> dict[int, str]:
    """Writes the model file; returns the texts of its strongest words, by bucket."""
    rereadable = [log for log in logs if log != "-"]
    words = words_of(rereadable, how, strongest_words(fitted.pipeline))
    about = provenance(data, fitted, words, settings, how, _created(logs), sessions)
    write(out, data, fitted, how, about)
    return words
