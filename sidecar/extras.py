"""What commands need beyond serving, and how it is installed here.

Law: says it in one line that can be typed as it stands, for the way in which this xbot was installed.
"""

from __future__ import annotations

import shlex
import site
import sys
from importlib.util import find_spec
from pathlib import Path

from sidecar.errors import XbotError

_HOME = Path(__file__).parent.parent  # where the packages sidecar and training lie


def packages(extra: str) -> list[str]:
    """The requirements of an extra of this distribution, such as `scikit-learn>=1.5`; empty where it is not known."""
    from importlib.metadata import PackageNotFoundError, requires  # seldom needed, and slow to import

    try:
        found = requires("xbot") or []
    except PackageNotFoundError:
        return []
    named = (requirement.partition(";") for requirement in found)
    return [what.strip() for what, _, marker in named if extra in marker.replace("'", '"').split('"')]


def command(*extras: str) -> str:
    """The command that installs these extras beside this xbot: into its environment, or into the directory of its own that
    `make install` and the Debian package give it."""
    wanted = [name for extra in extras for name in packages(extra)]
    if sys.prefix != sys.base_prefix:
        pip = [f"{sys.prefix}/bin/python", "-m", "pip", "install"]
    elif str(_HOME) in (*site.getsitepackages(), site.getusersitepackages()):
        pip = [sys.executable, "-m", "pip", "install"]
    else:
        pip = [sys.executable, "-m", "pip", "install", "--target", str(_HOME)]
    return shlex.join([*pip, *wanted])


def need(who: str, extra: str, *modules: str) -> None:
    """XbotError where one of these modules of an extra is not installed. None is imported: what is wrong otherwise is told first,
    and scikit-learn takes more than a second."""
    for name in modules:
        if find_spec(name) is None:
            raise XbotError(f"{who} needs {name}, which is not installed: {command(extra)}")
