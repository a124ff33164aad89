"""The kinds of values that options of several packages' commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sidecar.model import DEFAULT


class ModelFile(click.Path):
    """A model's path; `default` is the model that comes with xbot. A file of that name is ./default."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click calls it, for each value."""
        return DEFAULT if value == "default" else super().convert(value, param, ctx)


MODEL_FILE = ModelFile()
