"""The sockets that the sidecar listens on, made from addresses (config/addresses.py).

A Unix socket comes into being unconnectable (mode 0600, not listening), gets its group and mode 0660, and
only then listens. A file at its path is removed only when it is a socket that refuses connections, and at the
end only while it is still ours. It is made under a lock on the directory, so that two sidecars starting at once
cannot take each other's path; whoever may read the directory can hold that lock, so the wait for it is short.
Whoever may write in the directory can put something else in the place of our file: we change the file that we
hold open, never what a path or a link leads to.

Each connection is a descriptor, so how many there can be follows from how many files a process may have open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from sidecar.config.addresses import Address, TcpAddress, UnixAddress, group_id
from sidecar.errors import XbotError

BACKLOG = 4096  # a full backlog is an instant error for the visitor; asyncio's own 100 fills in one burst
UNIX_MODE = 0o660
_MOST_FILES = 65536  # a connection is a descriptor; more than this is never asked of the kernel
_OTHER_FILES = 64  # that a process of ours has besides its sockets
_LOCK_SECONDS, _LOCK_POLL_SECONDS = 2.0, 0.01


@dataclass(frozen=True)
class _Access:
    """Who may reach a file, or what is in a directory: its mode, user and group."""

    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> _Access:
        found = path.lstat()
        return cls(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def lost(self, path: Path) -> str | None:
        """Whose access to the same file is taken away by now."""
        try:
            now = self.of(path)
        except OSError as error:
            return f"{path}: {_reason(error)}"
        if self.mode & 0o777 & ~now.mode:
            return f"{path}: its mode is {now.mode:04o}, and was {self.mode:04o}"
        if (self.uid, self.gid) != (now.uid, now.gid):
            return f"{path}: it belongs to {now.uid}:{now.gid}, and belonged to {self.uid}:{self.gid}"
        return None


@dataclass
class Bound:
    """A listening socket.

    `asked` is the address that it was made for; `address` has the port that it got. `identity` is (device, inode) of the
    file that was made for it, None without one; whoever has the socket `owned` removes the file. `activated`: somebody
    else opened it and minds it (socket activation).
    """

    address: Address
    sock: socket.socket
    asked: Address
    identity: tuple[int, int] | None = None
    owned: bool = True
    activated: bool = False
    seen: tuple[_Access, _Access] | None = None  # of its file and of the directory, when it was first looked at

    @property
    def reachable(self) -> bool:
        """Whether its file, if it has one, is still there."""
        return self.identity is None or (isinstance(self.address, UnixAddress) and self._in_place(self.address.path))

    def look(self) -> str | None:
        """Why a proxy that reached it when this was first asked no longer does; None: nothing of that is to be seen."""
        if not isinstance(self.address, UnixAddress) or not self.address.path.is_absolute():
            return None
        path = self.address.path
        if not os.access(path.parent, os.X_OK, effective_ids=True):
            return f"{path.parent}: it cannot be searched, or is not there"
        if self.reachable and self.seen is None:
            with contextlib.suppress(OSError):
                self.seen = _Access.of(path), _Access.of(path.parent)
        why = None if self.reachable else "its file is no longer there, or is another's"
        if self.seen is not None and why is None:
            why = self.seen[0].lost(path) or self.seen[1].lost(path.parent)
        return why

    def _in_place(self, path: Path) -> bool:
        # While `sock` is open the kernel keeps the inode, so that no other file can have its number.
        return _identity(path) == self.identity

    def unlink(self) -> None:
        """Remove the socket's file, if it is still the one that we made. The socket itself goes on listening."""
        if self.identity is None or not self.owned or not isinstance(self.address, UnixAddress):
            return
        path = self.address.path
        with contextlib.suppress(OSError):  # no lock: as long as the socket listens no sidecar takes its path
            if self._in_place(path):
                path.unlink()
        self.identity = None

    def take(self, new: Bound) -> None:
        """Become another socket; whoever holds this one holds that from now on. The socket of before is closed."""
        old, self.sock = self.sock, new.sock
        self.identity, self.seen = new.identity, None
        old.close()

    def close(self) -> None:
        """Remove the file, then close the socket. May be called again."""
        self.unlink()
        self.sock.close()


def bind(address: Address, group: str | None = None, kind: socket.SocketKind = socket.SOCK_STREAM) -> Bound:
    """Make the listening socket of `address`; a Unix socket's file belongs to `group`, where given. Of a Unix socket `kind` may be
    SOCK_SEQPACKET, or SOCK_DGRAM, which takes messages without listening.

    Raises XbotError when the address is in use, is not ours to take, or cannot be bound.
    """
    return _bind_unix(address, group, kind) if isinstance(address, UnixAddress) else _bind_tcp(address)


def take(pool: list[Bound], address: Address) -> Bound | None:
    """Remove from `pool` the socket that was made for `address`, and return it; None if there is none to be reached."""
    for place, one in enumerate(pool):
        if one.asked == address and one.reachable:
            return pool.pop(place)
    return None


def mend(bound: Bound, group: str | None) -> None:
    """Give the file of a socket of ours the mode and the group that `bind` gives it. XbotError if that cannot be done."""
    if bound.identity is not None and isinstance(bound.address, UnixAddress):
        with _held(bound.address, bound.identity) as file:
            Path(file).chmod(UNIX_MODE)
            if group is not None:
                os.chown(file, -1, group_id(group))
            elif bound.seen is not None:
                os.chown(file, -1, bound.seen[0].gid)


def renew(bound: Bound, group: str | None) -> Bound:
    """Another socket with a file in the place of one whose file is of no use. XbotError if that cannot be made; `bound` stays as it
    is, for whoever waits in its queue."""
    if bound.reachable and isinstance(bound.address, UnixAddress):
        with contextlib.suppress(OSError):
            bound.address.path.unlink()
    return bind(bound.asked, group, socket.SocketKind(bound.sock.type))


def adopt(sock: socket.socket) -> Bound:
    """Take over a socket that somebody else made (socket activation); its file is theirs and stays.

    Raises XbotError when it is not a listening stream socket.
    """
    listening = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if not listening or sock.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
        raise XbotError(f"inherited descriptor {sock.fileno()} is not a listening stream socket")
    sock.setblocking(False)
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        address: Address = UnixAddress(Path(os.fsdecode(name)))
    else:
        address = TcpAddress(name[0], name[1])
    return Bound(address, sock, address, activated=True)


def _bind_unix(address: UnixAddress, group: str | None, kind: socket.SocketKind) -> Bound:
    path = address.path
    gid = group_id(group) if group is not None else None
    sock = socket.socket(socket.AF_UNIX, kind)
    made: tuple[int, int] | None = None
    try:
        with _locked(path):
            _clear_stale(path, kind)
            umask = os.umask(0o177)
            try:
                sock.bind(os.fspath(path))
            finally:
                os.umask(umask)
            with _held(address) as file:
                made = _identity(path)
                if gid is not None:
                    os.chown(file, -1, gid)
                Path(file).chmod(UNIX_MODE)
            if kind != socket.SOCK_DGRAM:
                sock.listen(BACKLOG)
            sock.setblocking(False)
            return Bound(address, sock, address, made)
    except BaseException as error:
        if made and _identity(path) == made:
            path.unlink(missing_ok=True)
        sock.close()
        if isinstance(error, OSError):
            raise XbotError(f"{address}: {_reason(error)}") from error
        raise


def _bind_tcp(address: TcpAddress) -> Bound:
    try:
        found = socket.getaddrinfo(address.host, address.port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    except OSError as error:
        raise XbotError(f"{address}: {_reason(error)}") from error
    except UnicodeError as error:  # a label too long, for one
        raise XbotError(f"{address}: no name of a host") from error
    family, kind, protocol, _, name = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(name)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise XbotError(f"{address}: {_reason(error)}") from error
    return Bound(TcpAddress(address.host, sock.getsockname()[1]), sock, address)


def _clear_stale(path: Path, kind: socket.SocketKind) -> None:
    """Remove a socket at `path` that nobody answers on; XbotError if somebody does, or if it is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise XbotError(f"unix:{path}: there is a file that is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)  # a full backlog must not make us wait: it too means that somebody listens
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass
        except OSError as error:
            raise XbotError(f"unix:{path}: cannot ask the socket there: {_reason(error)}") from error
    raise XbotError(f"unix:{path}: somebody answers on this socket; is another sidecar running?")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock on the directory of `path`, against other sidecars. None of them holds it for long: if somebody does, it is
    no sidecar that is about to take the path, and we go on without."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise XbotError(f"unix:{path}: directory {path.parent}: {_reason(error)}") from error
    try:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    why = f"another process has held its lock for {_LOCK_SECONDS:g} s; started without it"
                    structlog.get_logger().warning("directory locked", directory=str(path.parent), problem=why)
                    break
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(directory)


@contextlib.contextmanager
def _held(address: UnixAddress, identity: tuple[int, int] | None = None) -> Iterator[str]:
    """A name for the socket's file itself, whatever takes its place meanwhile. XbotError if what is there is no socket of our user,
    or not the one of this `identity`, and for an OSError of the block."""
    try:
        fd = os.open(address.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            ours = stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()
            if not ours or identity not in (None, (found.st_dev, found.st_ino)):
                raise XbotError(f"{address}: somebody has put another file in its place")
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
    except OSError as error:
        raise XbotError(f"{address}: {_reason(error)}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    """None where nobody can get there, whatever the reason: a directory may be a file by now, or closed to us."""
    try:
        found = path.lstat()
    except OSError:  # it is not there, or nobody but root can say so
        return None
    return found.st_dev, found.st_ino


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; is another sidecar running?"
    return error.strerror or str(error)


def raise_open_files(places: int, workers: int) -> None:
    """As many as may be; XbotError where these are too few for a master of so many listeners and workers, or for such a worker."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, _MOST_FILES) if hard != resource.RLIM_INFINITY else _MOST_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    needed = _OTHER_FILES + places + max(places, workers)
    if resource.RLIM_INFINITY not in (soft, hard) and max(soft, wanted) < needed:
        raise XbotError(f"{max(soft, wanted)} open files are allowed, and {needed} are needed: ulimit -n, LimitNOFILE=")


def most_connections(places: int) -> int:
    """How many connections each of so many listeners of a worker can have, by the descriptors that a process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, (soft - _OTHER_FILES - 2 * places) // max(1, places))
