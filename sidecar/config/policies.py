"""From a configuration to the image of policies and lists that the workers share.

Law: the layout is stated once, in csrc/policy/policy.h; this module packs it, and csrc/policy/policy.c checks it when it is opened.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from sidecar import core
from sidecar.config import lists
from sidecar.config.config import Plan

# The structs of csrc/policy/policy.h.
_HEADER = struct.Struct("<8sIIIIIIQ")
_POLICY = struct.Struct(f"<{core.MAX_NAME + 1}sddIIIIII")
_LIST = struct.Struct(f"<{core.MAX_NAME + 1}sIIIIQQQQ")
_ROUTE = struct.Struct("<IIII")
_SLOT = struct.Struct("<QII")
_TEXT = struct.Struct("<II")


def image(plan: Plan) -> bytes:
    """The image of a configuration's policies, with the lists that they name; XbotError for a list that cannot be read."""
    used = list(
        dict.fromkeys(name for each in plan.policies.values() for name in (*each.allow, *each.deny, *each.verified))
    )
    order: list[int] = []
    rows = b""
    for name, policy in plan.policies.items():
        numbers = [used.index(each) for each in (*policy.allow, *policy.deny, *policy.verified)]
        rows += _POLICY.pack(
            name.encode(), _or_nan(policy.threshold), _or_nan(policy.challenge_above), policy.mode == "enforce",
            len(order), len(policy.allow), len(policy.deny), len(policy.verified), 0,
        )  # fmt: skip
        order += numbers
    packed_order = _padded(struct.pack(f"<{len(order)}I", *order))
    routes = lists.routes(plan)
    fixed = len(rows) + len(used) * _LIST.size + len(routes) * _ROUTE.size
    begin = _HEADER.size + fixed + len(packed_order)
    heads, parts = b"", bytearray()
    for name in used:
        head, part = _list(name, lists.contents(plan, name), begin + len(parts))
        heads += head
        parts += part
    numbered = list(plan.policies)
    spans = _spans(begin + len(parts), [prefix for prefix, _ in routes])
    packed_routes = b"".join(
        _ROUTE.pack(*span, numbered.index(name), 0) for span, (_, name) in zip(spans, routes, strict=True)
    )
    parts += _padded(b"".join(prefix for prefix, _ in routes))
    header = _HEADER.pack(
        core.POLICIES_MAGIC, core.POLICIES_VERSION,
        len(plan.policies), len(used), len(order), len(routes), 0, begin + len(parts),
    )  # fmt: skip
    return header + rows + heads + packed_routes + packed_order + bytes(parts)


def _list(name: str, listed: lists.Contents, at: int) -> tuple[bytes, bytes]:
    """(struct xb_list, its parts), for parts that begin at `at`."""
    bits = max(1, (2 * len(listed.agents) - 1).bit_length()) if listed.agents else 0
    v4 = struct.pack(f"<{2 * len(listed.v4)}I", *(r[0] for r in listed.v4), *(r[1] for r in listed.v4))
    v6 = b"".join(struct.pack("<QQQQ", *divmod(first, 1 << 64), *divmod(last, 1 << 64)) for first, last in listed.v6)
    agents_at = at + len(v4) + len(v6)
    paths_at = agents_at + (_SLOT.size << bits if bits else 0)
    texts_at = paths_at + _TEXT.size * len(listed.paths)
    texts = b"".join((*listed.agents, *listed.paths))
    spans = _spans(texts_at, (*listed.agents, *listed.paths))
    slots = _table(listed.agents, spans, bits)
    paths = b"".join(_TEXT.pack(*span) for span in spans[len(listed.agents) :])
    head = _LIST.pack(
        name.encode(), len(listed.v4), len(listed.v6), len(listed.paths), bits, at, at + len(v4), agents_at, paths_at
    )
    return head, _padded(v4 + v6 + slots + paths + texts)


def _spans(at: int, texts: Sequence[bytes]) -> list[tuple[int, int]]:
    out = []
    for text in texts:
        out.append((at, len(text)))
        at += len(text)
    return out


def _table(agents: Sequence[bytes], spans: Sequence[tuple[int, int]], bits: int) -> bytes:
    """Open addressing by the top `bits` of the first word's hash; at most half full."""
    if not bits:
        return b""
    slots = [bytes(_SLOT.size)] * (1 << bits)
    for words, span in zip(agents, spans, strict=False):
        hashed = core.hash_text(lists.first_word(words))
        slot = hashed >> (64 - bits)
        while slots[slot] != bytes(_SLOT.size):
            slot = (slot + 1) % len(slots)
        slots[slot] = _SLOT.pack(hashed, *span)
    return b"".join(slots)


def _or_nan(share: float | None) -> float:
    return math.nan if share is None else share


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
