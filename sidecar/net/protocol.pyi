import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.core import Model, Policies

LINGER: float
GRACE: float
HASTE: float

def no_new_privileges() -> None: ...
def no_capabilities() -> None: ...

class Server:
    model: Model
    def __init__(
        self,
        model: Model,
        *,
        dialect: str = "nginx",
        enforce: bool = False,
        policies: Policies | None = None,
        policy: str | None = None,
        stats: Any = None,
        handshakes: Any = None,
        listener: int = 0,
        wheel: Any = None,
        clients: Any = None,
        visitors: Any = None,
        clock: Any = None,
        lane: Any = None,
        sample: float | None = None,
        watched: tuple[int, int] = (0, 0),
        per_second: int = ...,
        log: Callable[[dict[str, Any]], object] | None = None,
        max_connections: int = 4096,
        max_bytes: int = 16777216,
        peer_seconds: float = 10.0,
        on_bound: Callable[[str], object] | None = None,
    ) -> None: ...
    def __call__(self) -> asyncio.BufferedProtocol: ...
    def serve(self, model: Model, policies: Policies, policy: str, generation: int = 0) -> None: ...
    @property
    def connections(self) -> int: ...
    def drain(self) -> None: ...
