"""The command `xbot`: the group, the errors, and the commands that belong to the sidecar's processes.

A command is imported when it is asked for. Those of other packages register themselves in the entry-point
group `xbot.commands`, so that nothing here imports them, and serving needs nothing of what training needs.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click

import sidecar
from sidecar.errors import XbotError

_HERE = {
    "score": "sidecar.offline:score",
    "explain": "sidecar.offline:explain",
    "inspect": "sidecar.offline:inspect",
    "replay": "sidecar.replay:replay",
}
_GROUP = "xbot.commands"
_PATH = click.Path(path_type=Path)


class Commands(click.Group):
    """A group whose commands may lie in modules that are imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, from here, from the table and from other packages."""
        elsewhere = (entry.name for entry in entry_points(group=_GROUP))
        return sorted({*super().list_commands(ctx), *_HERE, *elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; one that cannot be imported says what is missing when it is run."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        try:
            if cmd_name in _HERE:
                module, _, attribute = _HERE[cmd_name].partition(":")
                command = getattr(importlib.import_module(module), attribute)
            for entry in entry_points(group=_GROUP, name=cmd_name):
                command = entry.load()
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, error)
        return command


def _unavailable(name: str, error: ModuleNotFoundError) -> click.Command:
    reason = f"{name} needs {error.name}, which is not installed: pip install 'xbot[train]'"

    anything = {"ignore_unknown_options": True}

    @click.command(name, help=reason, context_settings=anything, add_help_option=False)
    @click.argument("_", nargs=-1, type=click.UNPROCESSED)
    def command(_: tuple[str, ...]) -> None:
        raise XbotError(reason)

    return command


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(sidecar.__version__, prog_name="xbot")
@click.pass_context
def xbot(ctx: click.Context) -> None:
    """Tell bots from people, in front of any web site.

    \b
    xbot train --format challenge --out site.xbot train.tsv
    xbot serve --model site.xbot --listen unix:/run/xbot/xbot.sock
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@xbot.command()
@click.option(
    "--model",
    type=_PATH,
    default=Path(sidecar.__file__).with_name("default.xbot"),
    help="The model file; SIGHUP loads it again.  [default: the one that comes with xbot]",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="unix:PATH|HOST:PORT",
    help="Where to answer; may be repeated. Not needed when systemd hands over the sockets.",
)
@click.option("--dialect", default="nginx", show_default=True, help="How the proxy asks: nginx or challenge.")
@click.option(
    "--mode",
    type=click.Choice(["observe", "enforce"]),
    default="observe",
    show_default=True,
    help="observe answers 200 to everybody, enforce 403 to bots.",
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes.  [default: one per usable core]")
@click.option("--admin", metavar="unix:PATH|HOST:PORT", help="Serve /metrics (Prometheus) and /healthz here.")
@click.option("--socket-group", metavar="GROUP", help="Group of the Unix sockets (mode 0660): nginx's.")
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0.0, 3600.0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long SIGTERM lets requests finish.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="debug also logs each request: for debugging, not for load.",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def serve(
    model: Path,
    listen: tuple[str, ...],
    dialect: str,
    mode: str,
    workers: int | None,
    admin: str | None,
    socket_group: str | None,
    drain_timeout: float,
    log_level: str,
    log_format: str,
) -> None:
    """Answer a proxy's question "bot or human?" until SIGTERM.

    SIGHUP loads the model again, and keeps the old one if the new one is not sound. The log goes to standard
    error.

    \b
    xbot serve --model site.xbot --listen unix:/run/xbot/xbot.sock --socket-group www-data
    xbot serve --model site.xbot --listen 127.0.0.1:8011 --mode enforce --admin 127.0.0.1:9011
    """
    from sidecar import listeners, logs, master, systemd  # here: other commands need none of this
    from sidecar.core import DIALECTS

    logs.configure(log_level, log_format)
    if dialect not in DIALECTS:
        raise XbotError(f"serve: --dialect {dialect!r} is not one of {', '.join(DIALECTS)}")
    inherited = [listeners.adopt(sock) for sock in systemd.listening_sockets()]
    addresses = [listeners.parse(text) for text in listen]
    if not inherited and not addresses:
        raise XbotError("serve: no --listen, and no socket inherited from systemd")
    taken = {bound.address for bound in inherited}
    master.run(
        master.Settings(
            model=model,
            listeners=tuple(listeners.Listener(one, dialect) for one in addresses if one not in taken),
            inherited=tuple((bound, dialect) for bound in inherited),
            enforce=mode == "enforce",
            workers=workers or len(os.sched_getaffinity(0)),
            admin=listeners.parse(admin) if admin else None,
            socket_group=socket_group,
            drain_timeout=drain_timeout,
            log_level=log_level,
            log_format=log_format,
        )
    )


@xbot.command()
@click.option("--print", "show", is_flag=True, help="Print all files.")
@click.option("--write", type=_PATH, metavar="DIR", help="Copy them into DIR.")
def nginx(show: bool, write: Path | None) -> None:
    """Print or copy the files that nginx includes.

    \b
    xbot nginx --print
    xbot nginx --write /etc/nginx/xbot
    """
    if show == (write is not None):
        raise XbotError("nginx: give one of --print and --write DIR")
    files = sorted(path for path in (Path(sidecar.__file__).parent / "nginx").iterdir() if path.is_file())
    for file in files:
        text = file.read_text()
        if write is None:
            click.echo(f"# ---- {file.name} ----\n{text}")
        else:
            _write_new(write / file.name, text)


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; one with the same text stays, with another it is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_text() != text:
            raise XbotError(f"{path}: there already, with other contents; move it away first")
        return
    path.write_text(text)
    click.echo(path)


def _let_go_of_stderr() -> None:
    """Who read our log may be gone; what it left unread must not become the interpreter's exit status, 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def main() -> None:
    """Run the command line; what the user did wrong is one line on standard error and status 2."""
    atexit.register(_let_go_of_stderr)
    try:
        status = xbot.main(prog_name="xbot", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message() + hint)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except XbotError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has what he wanted; the interpreter must not complain at its end either.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> None:
    click.echo(f"xbot: {' '.join(message.split())}", err=True)
    sys.exit(2)
