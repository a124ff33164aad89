"""May another user open a Unix socket? By owner, group and mode, as the kernel looks at them.

Law: every directory on the way must be searchable and the socket writable; each that refuses is named, with the command that
corrects it. Access control lists and security modules are only noticed, not evaluated.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sidecar.errors import XbotError

_MOST_LINKS = 40  # as the kernel


@dataclass(frozen=True)
class Who:
    """A user with all of its groups."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]

    @classmethod
    def named(cls, user: str, group: str | None = None) -> Who:
        """The user as nginx becomes it: with its groups, and `group` as the first. XbotError if there is no such one."""
        try:
            uid = pwd.getpwnam(user).pw_uid
        except KeyError:
            raise XbotError(f"no user named {user!r}") from None
        try:
            gid = grp.getgrnam(group).gr_gid if group else pwd.getpwnam(user).pw_gid
        except KeyError:
            raise XbotError(f"no group named {group!r}") from None
        return cls(user, uid, gid, frozenset((gid, *os.getgrouplist(user, gid))))

    def may(self, wanted: int, found: os.stat_result) -> bool:
        """Is `wanted`, of stat's bits for others (S_IXOTH, S_IWOTH), given to this user?"""
        if self.uid == 0:
            return True
        if self.uid == found.st_uid:
            return bool(found.st_mode & wanted << 6)
        if found.st_gid in self.groups:
            return bool(found.st_mode & wanted << 3)
        return bool(found.st_mode & wanted)


@dataclass(frozen=True)
class Refusal:
    """What refuses, why, and the command that corrects it. `acl`: an access control list may say otherwise."""

    path: Path
    why: str
    mend: str
    acl: bool


def refusals(path: Path, who: Who) -> list[Refusal]:
    """All that keeps a user from a socket. OSError where we ourselves cannot look."""
    found = []
    for directory in dict.fromkeys(directories(path.absolute())):
        at = directory.stat()
        if not who.may(stat.S_IXOTH, at):
            letter = "u" if at.st_uid == who.uid else "g" if at.st_gid in who.groups else "o"
            why = f"{_owned(directory, at)}: {who.name} may not search it"
            found.append(Refusal(directory, why, f"chmod {letter}+x {directory}", _has_acl(directory)))
    at = path.stat()
    if not who.may(stat.S_IWOTH, at):
        mend = f"xbot serve --socket-group {_group(who.gid)}, or SocketGroup= in a .socket unit"
        found.append(Refusal(path, f"{_owned(path, at)}: {who.name} may not write to it", mend, _has_acl(path)))
    return found


def directories(path: Path) -> Iterator[Path]:
    """Every directory that is searched on the way to an absolute path, symbolic links followed; OSError if one is missing."""
    here, left, links = Path("/"), list(path.parts[1:]), 0
    while left:
        yield here
        part = left.pop(0)
        if part == "..":
            here = here.parent
        elif (here / part).is_symlink():
            links += 1
            if links > _MOST_LINKS:
                raise OSError(f"too many symbolic links in {path}")
            target = (here / part).readlink()
            here = Path("/") if target.is_absolute() else here
            left[:0] = [each for each in target.parts if each != "/"]
        else:
            here /= part


def _owned(path: Path, found: os.stat_result) -> str:
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    return f"{path} ({stat.filemode(found.st_mode)} {owner}:{_group(found.st_gid)})"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _has_acl(path: Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False
