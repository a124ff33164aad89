"""One question to the control socket of a running sidecar.

Law: whatever the other side does, the answer is an object or an XbotError, within a bound.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import msgspec

from sidecar.errors import XbotError
from sidecar.steer import words

_SECONDS = 60.0  # a reload may take 30 to read, and 10 to be taken by the workers
_LONGEST_REPLY = 1 << 20


def ask(path: Path, request: msgspec.Struct) -> dict[str, Any]:
    """The reply to a request. XbotError if there is none, or it is a refusal, with what the sidecar says."""
    data = b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_SECONDS)
        try:
            sock.connect(str(path))
            sock.sendall(words.encode(request))
            while not data.endswith(b"\n") and len(data) < _LONGEST_REPLY and (more := sock.recv(65536)):
                data += more
        except FileNotFoundError:
            raise XbotError(
                f"{path}: no such socket; does a sidecar run with a board? --control names another"
            ) from None
        except ConnectionRefusedError:
            raise XbotError(f"{path}: nobody answers there; is the sidecar running?") from None
        except PermissionError:
            raise XbotError(f"{path}: you may not open it: it is for root and for its group (control_group)") from None
        except TimeoutError:
            raise XbotError(f"{path}: no answer within {_SECONDS:g} s") from None
        except OSError as error:
            raise XbotError(f"{path}: {error.strerror or error}") from None
    try:
        reply = json.loads(data)
        if not reply.pop("ok"):
            raise XbotError(str(reply["error"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise XbotError(f"{path}: what answers there is no sidecar, or was ended in the middle") from None
    return dict(reply)
