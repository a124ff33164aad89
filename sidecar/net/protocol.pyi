import asyncio
from collections.abc import Callable
from typing import Any

from sidecar.core import Answerer, Model, Policies

GRACE: float
HASTE: float

def no_new_privileges() -> None: ...
def no_capabilities() -> None: ...

class Server:
    model: Model
    def __init__(
        self,
        answerer: Answerer,
        *,
        log: Callable[[dict[str, Any]], object] | None = None,
        on_bound: Callable[[str], object] | None = None,
    ) -> None: ...
    def __call__(self) -> asyncio.BufferedProtocol: ...
    def serve(self, model: Model, policies: Policies, policy: str, generation: int = 0) -> None: ...
    @property
    def connections(self) -> int: ...
    def drain(self) -> None: ...
