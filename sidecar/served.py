"""The model that is served: checked bytes in sealed memory, and what to say about them."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from sidecar import memory, model


@dataclass(frozen=True)
class ServedModel:
    """A checked model in sealed memory, and what to say about it. `loaded_at` is Unix time in seconds."""

    generation: int
    path: Path
    fd: int
    size: int
    sha256: str
    schema: str
    loaded_at: float

    @classmethod
    def load(cls, path: Path, generation: int) -> ServedModel:
        """Read and check the file; XbotError names it and the reason."""
        loaded = model.load(path)
        data = loaded.data
        sha256 = hashlib.sha256(data).hexdigest()
        fd = memory.sealed("xbot-model", data)
        return cls(generation, path, fd, len(data), sha256, f"{loaded.header['schema']:016x}", time.time())

    def labels(self) -> dict[str, str]:
        """For the log and the metrics; `sha256` is what sha256sum prints for the file."""
        return {"path": str(self.path), "sha256": self.sha256, "schema": self.schema}
