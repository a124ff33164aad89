"""A decision as a line of the log: a record of the format `jsonl`, with what was decided and by which model.

Law: each line is read back before it is written. If it does not give the margin that was served (a secret was taken away, an
address shortened, or the vector was made from more than a head), it also holds the vector, so that the sum is exact all the
same.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from sidecar import core
from sidecar.decisions import clean
from sidecar.decisions.reader import Judge
from sidecar.sources.records import load_record

WITHHELD = "..."  # the text of a word that may not be told


@dataclass(frozen=True)
class Writer:
    """Makes lines. `privacy` is whole, network or keyed, by `key`; `redact`: whether secrets in targets are taken away."""

    privacy: str
    redact: bool
    key: bytes = b""

    def line(self, one: core.Recorded, judge: Judge | None) -> bytes:
        """The line of a record, with its end. `judge` is what judged it; None if nobody has it any more."""
        entry = self.entry(one, judge)
        model = judge.model if judge else None
        line = _encoded(entry)
        back = core.Request()
        try:
            load_record(line, back)
            same = model is not None and model.judge(back).margin == one.margin
        except core.LineError:
            same = False
        if not same or self.privacy != "whole":
            entry["features"] = self._vector(one, back, model)
            line = _encoded(entry)
        return line + b"\n"

    def entry(self, one: core.Recorded, judge: Judge | None) -> dict[str, Any]:
        """What the log says of a record, but for what it was made from beside the request."""
        asked = core.Request()
        asked.load_head(one.head, one.dialect)
        threshold = judge.thresholds.get(one.policy) if judge else None
        fields, tls = asked.fields, asked.tls
        target = clean.clean_target if self.redact else bytes
        value = clean.clean_header if self.redact else clean.hidden_cookies
        pairs = [(_text(name), _text(value(name, said))) for name, said in asked.own_headers]
        connection, requests = asked.connection
        entry = {
            "id": one.id,
            "time": round(one.time / 1e9, 3),
            **self._address(fields["ip"]),
            **{
                name: _text(said)
                for name in ("method", "protocol", "scheme", "host")
                if (said := fields[name]) is not None
            },
            **({"uri": _text(target(uri))} if (uri := fields["uri"]) is not None else {}),
            "verdict": one.outcome,
            "score": one.score,
            "margin": one.margin,
            **({} if threshold is None else {"threshold": threshold}),
            "reason": one.reason,
            "policy": one.policy,
            "refused": one.refuse,
            "model": judge.sha256 if judge else "",
            **({"connection": connection, "connection_requests": requests} if requests else {}),
            **({"tls": {name: _text(text) for name, text in tls._asdict().items() if text is not None}} if tls else {}),
            **({"handshake": one.handshake.hex()} if one.handshake is not None else {}),
        }
        if one.dialect == "challenge":
            entry["agent"], entry["referrer"] = _text(fields["agent"] or b""), _text(target(fields["referrer"] or b""))
        else:
            # Where their order or case is not the visitor's, an object says so; the first of a name counts, everywhere.
            entry["headers"] = pairs if asked.ordered else {name: said for name, said in reversed(pairs) if said}
        return entry

    def _address(self, ip: bytes | None) -> dict[str, str]:
        if ip is None:
            return {}
        text = _text(ip)
        if self.privacy == "keyed":
            return {"visitor": clean.keyed(text, self.key)}
        if self.privacy == "network":
            return {} if (net := clean.network(text)) is None else {"ip": net}
        return {"ip": text}

    def _vector(self, one: core.Recorded, back: core.Request, model: core.Model | None) -> dict[str, Any]:
        """Features and words, but for those of an address that is not whole: of them the sum alone."""
        texts: dict[tuple[str, int], str] = {}
        if model is not None:
            _, words = back.features(model.k)
            texts = {(family, bucket): text for bucket, family, text in words}
        hide = self.privacy != "whole"
        shown = [not (hide and row.group == "ip") for row in core.FEATURES]
        dense = {
            row.name: value
            for row, value, show in zip(core.FEATURES, one.dense, shown, strict=True)
            if show and not math.isnan(value)
        }
        words_ = [(core.FAMILIES[family], bucket) for family, bucket in one.words]
        vector: dict[str, Any] = {
            "dense": dense,
            "words": [
                (row.name, bucket, texts.get((row.name, bucket), WITHHELD))
                for row, bucket in words_
                if not (hide and row.group == "ip")
            ],
        }
        if hide and model is not None:
            vector["address"] = self._part_of_address(one, model)
        return vector

    def _part_of_address(self, one: core.Recorded, model: core.Model) -> float:
        dense = {
            row.name: value
            for row, value in zip(core.FEATURES, one.dense, strict=True)
            if row.group == "ip" and not math.isnan(value)
        }
        words = [
            (core.FAMILIES[family].name, bucket, "")
            for family, bucket in one.words
            if core.FAMILIES[family].group == "ip"
        ]
        verdict, bias, _ = model.explain_vector(core.Request(), dense, words)
        return verdict.margin - bias


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encoded(entry: dict[str, Any]) -> bytes:
    """Bytes that are no UTF-8 stay as they came, as in nginx's logs."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
