"""The command `xbot`: the group that finds the commands, and the handling of their errors.

Law: a command is imported when it is asked for. Those of other packages register themselves in the entry-point
group `xbot.commands`, so that nothing here imports them, and serving needs nothing of what training needs.
"""

from __future__ import annotations

import atexit
import contextlib
import difflib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

from sidecar import extras, version
from sidecar.errors import XbotError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_HERE = {
    "bench": "sidecar.commands.bench:bench",
    "score": "sidecar.commands.offline:score",
    "explain": "sidecar.commands.explain:explain",
    "inspect": "sidecar.commands.offline:inspect",
    "refresh": "sidecar.commands.refresh:refresh",
    "robots": "sidecar.commands.robots:robots",
    "replay": "sidecar.replay.cli:replay",
    "check": "sidecar.check.cli:check",
    "serve": "sidecar.commands.serve:serve",
    "nginx": "sidecar.commands.nginx:nginx",
    "mode": "sidecar.steer.cli:mode",
    "status": "sidecar.steer.cli:status",
    "allow": "sidecar.steer.cli:allow",
    "reload": "sidecar.steer.cli:reload",
    "top": "sidecar.watch.cli:top",
    "tail": "sidecar.watch.cli:tail",
    "why": "sidecar.commands.why:why",
}
_GROUP = "xbot.commands"
# Until the master's loop can hear them they wait: a reload that comes while it starts is no reason to end.
_LATER = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Commands(click.Group):
    """A group whose commands may lie in modules that are imported only when they are needed."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command. A broken pipe is no failure, and must not reach click or rich, who make status 1 of it."""
        try:
            status: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _reader_left()
        except SystemExit as ended:
            if isinstance(ended.__context__, BrokenPipeError):
                _reader_left()
            raise
        return status

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, from here, from the table and from other packages."""
        return sorted({*super().list_commands(ctx), *_HERE, *(entry.name for entry in _elsewhere())})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; a mistyped name is answered with those that are near it, as click does for options."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx))
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(error.message + hint, ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; one that cannot be imported says what is missing when it is run."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        try:
            if cmd_name in _HERE:
                module, _, attribute = _HERE[cmd_name].partition(":")
                command = getattr(importlib.import_module(module), attribute)
            else:
                for entry in _elsewhere(cmd_name):
                    command = entry.load()
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, error)
        return command


def _elsewhere(name: str | None = None) -> Iterable[EntryPoint]:
    """The commands of other packages, or the one of this name."""
    from importlib.metadata import entry_points  # slow: it asks every package that is installed

    return entry_points(group=_GROUP) if name is None else entry_points(group=_GROUP, name=name)


def _unavailable(name: str, error: ModuleNotFoundError) -> click.Command:
    reason = f"{name} needs {error.name}, which is not installed: {extras.command('train')}"

    anything = {"ignore_unknown_options": True}

    @click.command(name, help=reason, context_settings=anything, add_help_option=False)
    @click.argument("_", nargs=-1, type=click.UNPROCESSED)
    def command(_: tuple[str, ...]) -> None:
        raise XbotError(reason)

    return command


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"xbot {version.said()}")
        ctx.exit()


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Which xbot this is."
)
@click.pass_context
def xbot(ctx: click.Context) -> None:
    """Tell bots from people, in front of any web site.

    \b
    xbot train --format challenge --out site.xbot train.tsv
    xbot serve --model site.xbot --listen unix:/run/xbot/xbot.sock
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _let_go_of_stderr() -> None:
    """The reader of our log may be gone; output that it did not read must not make the interpreter exit with 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _have_standard_files() -> None:
    """Whoever started us may have closed them: the next file that is opened would get the number of standard error, and its lines."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 -- open as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.encoding.lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")  # a locale that lacks our bars and dashes is no reason to end


def main() -> None:
    """Run the command line; a mistake of the user gives one line on standard error and status 2."""
    _have_standard_files()
    if sys.argv[1:2] == ["serve"]:
        signal.pthread_sigmask(signal.SIG_BLOCK, _LATER)
    atexit.register(_let_go_of_stderr)
    try:
        status = xbot.main(prog_name="xbot", standalone_mode=False)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message() + hint)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except XbotError as error:
        _fail(str(error))
    except OSError as error:
        # Whoever writes a file of his own names it: a disk that is full and has no name is that of standard output.
        name = error.filename or ("standard output" if error.errno in _DISK else "")
        _fail(f"{name}: {error.strerror}" if name else error.strerror or str(error))
    except (MemoryError, ImportError, RuntimeError) as error:
        if str(error) == _NO_THREAD:
            _fail(
                "no further thread can be started: the memory, or the number of processes (ulimit -u, pids.max), allows none"
            )
        if not _is_of_memory(error):
            raise
        _fail("there is not enough memory for this")
    sys.exit(status if isinstance(status, int) else 0)


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# What the system's loader and Python's threads say where an address space is too small.
_NO_THREAD = "can't start new thread"
_NO_MEMORY = ("failed to map segment", "Cannot allocate memory", _NO_THREAD)


def _is_of_memory(error: BaseException | None) -> bool:
    """Is too little memory behind an error? numpy says for half a page what else may be wrong with it."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reader_left() -> NoReturn:
    """The reader of our output has closed it: exit with the status of a program that SIGPIPE ended."""
    _let_go_of_stdout()
    sys.exit(128 + signal.SIGPIPE)


def _let_go_of_stdout() -> None:
    """What could not be written is let go, or the interpreter complains of it at its end, with a status of its own."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _let_go_of_stdout()
    with contextlib.suppress(OSError):  # nobody reads it, or the disk is full: the status tells it, too
        click.echo(f"xbot: {' '.join(message.split())}", err=True)
    sys.exit(2)
