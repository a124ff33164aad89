"""Where things are: the tree, the data of the tests, the command. No other file of the tests works out a path of its own."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "tests" / "data"
XBOT = str(Path(sys.executable).parent / "xbot")
