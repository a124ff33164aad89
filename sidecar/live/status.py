"""What a sidecar is and serves at this moment: the mode of each policy, whoever said it, and the card of the model.

Law: it reads what the master has, and is the same for the control socket and for the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar import core
from sidecar.board.served import Served
from sidecar.live.shown import short


def effective(configured: Mapping[str, str], overrides: list[Any]) -> dict[str, dict[str, Any]]:
    """Of each policy: how it is configured, the mode that holds, whether that was said by hand, and for how many seconds."""
    said = {each.policy: each for each in overrides}
    out: dict[str, dict[str, Any]] = {}
    for name, mode in configured.items():
        hand = said.get(name, said.get(None))
        by_hand = hand is not None and hand.mode != core.WHEEL_MODES[0]
        out[name] = {
            "configured": mode,
            "mode": hand.mode if hand is not None and by_hand else mode,
            "by_hand": by_hand,
            "seconds": hand.seconds if hand is not None and by_hand else None,
        }
    return out


def card(served: Served, model: core.Model) -> dict[str, Any]:
    """The model that is served: what it is, and what its file says of where it comes from, which anybody may have written."""
    try:
        said = model.provenance
    except (ValueError, RecursionError):
        said = {}
    said = said if isinstance(said, dict) else {}
    held_out = said.get("held_out")
    quality = held_out if isinstance(held_out, dict) else {}
    looked_at = model.header["groups"]
    return {
        "path": short(str(served.path)),
        "sha256": served.sha256,
        "trained": served.trained_at,
        "loaded": served.loaded_at,
        "refused": short(served.refused) if served.refused else None,
        "threshold": model.threshold,
        "rows": _number(said.get("rows")),
        "recall": _number(quality.get("recall")),
        "false_positive_rate": _number(quality.get("false_positive_rate")),
        "groups": [name for name, bits in core.GROUPS.items() if looked_at & bits],
    }


def _number(value: Any) -> float | None:
    return (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 else None
    )
