"""How a recorded client says that it means to rest, without the time that this takes.

Law: the recorder gives each client a file; a line of it is a moment (seconds since 1970) and the seconds that are skipped there.
The log's clock is the real one plus what was skipped. Only rests of more than a minute cost real time: as long as the recorder's
nginx keeps a connection that rests, so that it ends there.
"""

from __future__ import annotations

import os
import random
import time

CLOSES_AFTER = 60.0  # seconds of rest after which a site like ours has closed the connection
REAL = 2.3  # seconds in which the recorder's nginx closes it
SETTLE = 0.05  # what is still on its way belongs before the rest


def rest(seconds: float) -> None:
    """Skips this many seconds."""
    time.sleep(REAL if seconds > CLOSES_AFTER else SETTLE)
    with open(os.environ["TRAFFIC_RESTS"], "a") as file:  # noqa: PTH123
        file.write(f"{time.time():.6f} {seconds:.3f}\n")


def about(rng: random.Random, median: float, spread: float = 0.6) -> float:
    """Seconds around a median, log-normal; `spread` is the deviation of their logarithm."""
    return median * rng.lognormvariate(0, spread)
