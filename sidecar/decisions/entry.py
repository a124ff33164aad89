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
            if model is not None:
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

    def _vector(self, one: core.Recorded, back: core.Request, model: core.Model) -> dict[str, Any]:
        """Features and words, but for those of an address that is not whole: of them the sum alone."""
        _, values, words = model.recorded(one, core.Request())
        dense = {
            row.name: (row.group, value)
            for row, value in zip(core.FEATURES, values, strict=True)
            if not math.isnan(value)
        }
        groups = {row.name: row.group for row in core.FAMILIES}
        told = {(family, bucket): text for bucket, family, text in back.features(model.k)[1]}
        hidden = {"ip"} if self.privacy != "whole" else set()
        vector: dict[str, Any] = {
            "dense": {name: value for name, (group, value) in dense.items() if group not in hidden},
            "words": [
                (family, bucket, told.get((family, bucket), WITHHELD))
                for family, bucket, _ in words
                if groups[family] not in hidden
            ],
        }
        if hidden:
            address = {name: value for name, (group, value) in dense.items() if group in hidden}
            of_address = [word for word in words if groups[word[0]] in hidden]
            verdict, bias, _ = model.explain_vector(core.Request(), address, of_address)
            vector["address"] = verdict.margin - bias
        return vector


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _encoded(entry: dict[str, Any]) -> bytes:
    """Bytes that are no UTF-8 stay as they came, as in nginx's logs."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
