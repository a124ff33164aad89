import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.core import Model

LINGER: float

class Server:
    model: Model
    def __init__(
        self,
        model: Model,
        *,
        dialect: str = "nginx",
        enforce: bool = False,
        stats: Any = None,
        log: Callable[[dict[str, Any]], object] | None = None,
    ) -> None: ...
    def __call__(self) -> asyncio.BufferedProtocol: ...
    @property
    def connections(self) -> int: ...
    def drain(self) -> None: ...
