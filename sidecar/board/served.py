"""What is served: a checked model and checked policies, one image in sealed memory, and what to say about them.

Law: our workers map the very memory that was checked here, which nobody can change. The board's file is a copy of it, for
hosts that are not ours: they read it and check it themselves (csrc/served.h).
"""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from sidecar import core, model
from sidecar.board import memory
from sidecar.board.directory import GROUP_READS, Directory, times
from sidecar.config import options, policies, search_engines
from sidecar.config.plan import Plan
from sidecar.errors import RefusedModelError, XbotError
from sidecar.proven import Room
from sidecar.verify import ranges

NAME = "served"
_LATEST = 1e12  # seconds; a date beyond is none
_MOST_ROWS = 1 << 50  # more are none either


@dataclass(frozen=True)
class Served:
    """One generation: model and policies go together, in the image behind `fd`. `listen_policies`: the default policy of each
    listener. `loaded_at` is Unix time in seconds. `refused`: why the model that was asked for could not be used, where the
    default model is served in its place; else None. `mark` and `room` are the model's: by which it is known, and how far its threshold may
    be moved; `site`: the threshold of policies that name none, None: the model's."""

    generation: int
    path: Path
    fd: int
    listen_policies: tuple[str, ...]
    modes: dict[str, str]  # policy to mode
    sha256: str
    search_engines: bool  # whether the list that comes with xbot is in use
    loaded_at: float
    trained_at: float | None  # Unix time, as the model's file says; None if it does not
    margins: (
        tuple[int, ...] | None
    )  # how those of its training are spread, as csrc/board/counters.h counts them; None if it does not say
    told: Mapping[
        str, float
    ]  # groups of features: known in which share of its training's rows; empty if it does not say
    material: policies.Material
    publishers: Mapping[str, str]
    dns: options.Dns
    signing: dict[str, Any] | None  # what workers are told of signatures
    mark: int
    room: Room
    site: float | None = None
    refused: str | None = None

    @classmethod
    def load(cls, plan: Plan, generation: int) -> Served:
        """Read and check all that the plan names; XbotError says what is wrong, and nothing is kept."""
        try:
            loaded = model.load(plan.model)
        except XbotError as error:
            if plan.names_model:
                raise type(error)(str(plan.wrong("model", str(error)))) from None
            raise
        for name, policy in plan.policies.items():
            threshold = loaded.threshold if policy.threshold is None else policy.threshold
            if policy.suspect_above is not None and policy.suspect_above >= threshold:
                why = f"{policy.suspect_above} is not below the threshold, {threshold:.4f}, of {plan.model}"
                raise plan.wrong(f"policies.{name}.suspect_above", why)
        material = policies.material(plan)
        rules = material.image()
        core.Policies(rules)
        fd = memory.sealed("xbot-served", core.served_image(loaded.data, rules, *times()))
        return cls(
            generation=generation,
            path=plan.model,
            fd=fd,
            listen_policies=plan.listen_policies,
            modes={name: policy.mode for name, policy in plan.policies.items()},
            sha256=hashlib.sha256(loaded.data).hexdigest(),
            search_engines=plan.uses_our_search_engines,
            loaded_at=time.time(),
            trained_at=_created(provenance := _provenance(loaded)),
            margins=_margins(provenance),
            told=_told(provenance),
            material=material,
            publishers=plan.publishers,
            dns=plan.dns,
            signing=material.signing(),
            mark=loaded.mark,
            room=Room.of(loaded),
        )

    def with_newest_ranges(self, generation: int) -> Served:
        """The same model and configuration, not read again, with the networks of crawlers that are there now."""
        return self._again(generation, self.site)

    def with_threshold(self, generation: int, site: float | None) -> Served:
        """The same, with another threshold for policies that name none."""
        return self._again(generation, site)

    def _again(self, generation: int, site: float | None) -> Served:
        rules = self.material.image(site)
        core.Policies(rules)
        loaded, _ = core.served_parts(self.image(), verified=True)
        fd = memory.sealed("xbot-served", core.served_image(bytes(loaded), rules, *times()))
        return replace(self, generation=generation, fd=fd, site=site, signing=self.material.signing())

    def range_dates(self) -> dict[str, datetime.date]:
        """The date of the copy in use of each list of networks."""
        copies, _ = ranges.newest(self.material.ranges)
        return {name: copy.date for name, copy in copies.items()}

    def old_lists(self) -> tuple[int, list[str]]:
        """The lists of networks in use that are older than they may be, and how many days that is."""
        days = ranges.OLD if self.material.ranges is None else ranges.STALE
        copies, _ = ranges.newest(self.material.ranges)
        old = sorted(name for name, copy in copies.items() if copy.age() >= days)
        if self.search_engines and search_engines.age() >= search_engines.OLD:
            old.append(search_engines.NAME)
        return days, old

    @classmethod
    def at_start(cls, plan: Plan) -> Served:
        """As `load`, but where the model is refused it is the default model, and nobody is refused by any policy: a site
        without a sidecar is worse off than one that is told what the default model thinks."""
        try:
            return cls.load(plan, 1)
        except RefusedModelError as error:
            if plan.model == options.DEFAULT_MODEL:
                raise
            # Thresholds are of the model that they were chosen for.
            meek = {"mode": "observe", "threshold": None, "suspect_above": None}
            tame = {name: msgspec.structs.replace(each, **meek) for name, each in plan.policies.items()}
            there = replace(plan, model=options.DEFAULT_MODEL, names_model=False, policies=tame)
            return replace(cls.load(there, 1), refused=str(error))

    @property
    def instead(self) -> str:
        """What is served where the model was refused."""
        return "the default model, and every policy observes"

    def publish(self, directory: Directory, group: int | None) -> None:
        """Put a copy into the board, which `group` may read. XbotError if that cannot be; then what was there is still there."""
        os.close(directory.create(NAME, self.image(), GROUP_READS, group))
        directory.put(NAME)

    def image(self) -> bytes:
        """A copy of it."""
        return os.pread(self.fd, os.fstat(self.fd).st_size, 0)

    def close(self) -> None:
        """Let go of the memory; workers keep what they mapped."""
        os.close(self.fd)

    @property
    def threshold(self) -> float:
        """From which score on a visitor is a bot, where a policy does not say it."""
        return self.room.own if self.site is None else self.site

    def thresholds(self) -> dict[str, float]:
        """Of each policy."""
        policies_ = self.material.policies.items()
        return {name: self.threshold if each.threshold is None else each.threshold for name, each in policies_}

    def labels(self) -> dict[str, str]:
        """Of the model, for the log and the metrics; `sha256` is what sha256sum prints for the file."""
        return {"path": str(self.path), "sha256": self.sha256}


def _provenance(loaded: core.Model) -> dict[str, Any]:
    """What the file says of itself, which anybody may have written."""
    try:
        said = loaded.provenance
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _created(provenance: dict[str, Any]) -> float | None:
    created = provenance.get("created")
    if isinstance(created, bool) or not isinstance(created, (int, float)) or not 0 <= created < _LATEST:
        return None
    return float(created)


def _margins(provenance: dict[str, Any]) -> tuple[int, ...] | None:
    said = provenance.get("margins")
    if not isinstance(said, list) or len(said) != core.MARGINS:
        return None
    if not all(type(each) is int and 0 <= each < _MOST_ROWS for each in said) or not any(said):
        return None
    return tuple(said)


def _told(provenance: dict[str, Any]) -> dict[str, float]:
    said = provenance.get("told")
    if not isinstance(said, dict) or not said.keys() <= core.GROUPS.keys():
        return {}
    if not all(type(each) is float and 0 <= each <= 1 for each in said.values()):
        return {}
    return said
