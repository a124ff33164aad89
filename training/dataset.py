"""From logs to the matrix that is fitted: X in the columns of core.FEATURES, then 2^k buckets; y is 1 for a bot.

Law: the only reader of logs in training; every value comes from csrc/ through core.Matrix. Logs are featurized in
chunks, and the rows go to memory-mapped files: memory is bounded by the chunks in work, not by the log. One process reads
all lines by time, as each row holds what its client did before; stateless, chunks are read in parallel where that pays. X holds
NaN where a row cannot tell a feature that its format can hold; other columns stay empty.
"""

from __future__ import annotations

import array
import contextlib
import copy
import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import scipy.sparse

from sidecar import core, extras, inputs
from sidecar.errors import XbotError
from sidecar.sources import lines, merging, reading
from sidecar.sources.fields.w3c import ABOUT_THE_LOG, Reader
from sidecar.sources.formats import Format, find
from sidecar.sources.lines import Unreadable
from training.labels import Labels

# A chunk is what one task featurizes: large enough that handing it over costs little, small enough that two tasks a
# core stay far below what a machine has.
CHUNK = 8 << 20  # bytes of log
SMALL = 32 << 20  # bytes; logs up to here are read in this process: starting workers takes longer than they save


class Chunk(NamedTuple):
    """Rows in CSR form: float32 values, int32 columns, and per row how many values, label, time, client and line.

    `lines` is how many lines the chunk had, `unreadable` how many of them could not be read, `about` how many are about the log
    and no requests; `errors` are the first that could not be read, counted from its first line, as is `first_late`, the first of
    `late` lines that are earlier than the line before them. `buckets`: of each, the families that a word in it is of, as bits."""

    data: np.ndarray
    columns: np.ndarray
    counts: np.ndarray
    label: np.ndarray
    time: np.ndarray
    client: np.ndarray
    line: np.ndarray
    who: np.ndarray
    network: np.ndarray
    look: np.ndarray
    proof: np.ndarray
    lines: int
    unreadable: int
    about: int
    errors: list[tuple[int, str, str]]
    present: int
    buckets: np.ndarray
    late: int = 0
    first_late: int = 0


@dataclass
class Source:
    """One log, as provenance records it: what it is called, what it holds, whether it is the same."""

    name: str
    sha256: str
    lines: int
    unreadable: int


class Known(NamedTuple):
    """What the client table knows of each row, as core.Matrix has it: keys of client, network and look (0 unknown), proof."""

    who: np.ndarray
    network: np.ndarray
    look: np.ndarray
    proof: np.ndarray


@dataclass
class Dataset:
    """X: CSR float32, rows x (len(core.FEATURES) + 2^k), labelled rows only, in the order in which they were read; y: int8;
    per row its line (numbered through the logs), its client (0 unknown) and its time (-1 unknown). `present`: the groups that
    were seen; `buckets`: of each, the families that a word in it is of, as bits."""

    X: scipy.sparse.csr_matrix
    y: np.ndarray
    line: np.ndarray
    client: np.ndarray
    time: np.ndarray
    k: int
    present: int
    sources: list[Source] = field(default_factory=list)
    unlabelled: int = 0
    first_error: str = ""
    remarks: list[str] = field(default_factory=list)  # what was left out of each log, where anything was
    known: Known | None = None
    buckets: np.ndarray | None = None

    def columns_of(self, family: str) -> np.ndarray:
        """Which columns of X hold words of a family."""
        columns = np.zeros(len(core.FEATURES) + (1 << self.k), dtype=bool)
        if self.buckets is not None:
            number = [row.name for row in core.FAMILIES].index(family)
            columns[len(core.FEATURES) :] = self.buckets >> number & 1
        return columns

    @property
    def unreadable(self) -> int:
        return sum(source.unreadable for source in self.sources)


@dataclass(frozen=True)
class How:
    """How a log becomes rows: its format, buckets, known hosts, what is left out, whether each line stands for itself; and who
    does the work."""

    log_format: str
    k: int
    hosts: array.array[int] | None = None
    without: frozenset[str] = frozenset()
    stateless: bool = False
    jobs: int = 0  # 0: one a core, or this process alone for a small log
    scheduler: str | None = None  # of a Dask cluster

    @property
    def form(self) -> Format:
        """The row of the format."""
        return find(self.log_format)

    @property
    def looks_back(self) -> bool:
        """Do rows hold what their clients did before?"""
        wanted = any(row.group == "client" and row.name not in self.without for row in core.FEATURES)
        return wanted and "client" in self.form.groups and not self.stateless

    @property
    def families(self) -> int:
        """The families of words that are not left out, as bits."""
        return sum(1 << i for i, family in enumerate(core.FAMILIES) if family.name not in self.without)


def known_hosts(path: Path) -> array.array[int]:
    """The set of hosts in a file, one a line, as a model carries it. In a ranked list the rank and comma are let be."""
    lines = inputs.read_bytes(path, pipe=True).split(b"\n")
    hosts = {line.strip().rpartition(b",")[2] for line in lines} - {b""}
    if not hosts:
        raise XbotError(f"{path}: empty, no host in it")
    return array.array("I", sorted({core.host_hash(host) for host in hosts}))


def masked_names(without: Iterable[str], option: str = "--without") -> frozenset[str]:
    """The features and families that an option names: by groups, features, families. XbotError for what is none."""
    rows = [*core.FEATURES, *core.FAMILIES]
    names: set[str] = set()
    for word in without:
        found = {row.name for row in rows if word in (row.name, row.group)}
        if not found:
            raise XbotError(f"{option} {word}: no group, feature or family of that name")
        names |= found
    return frozenset(names)


def featurize(block: bytes, how: How, fields: Reader | None = None) -> Chunk:
    """The rows of a block of whole lines, each by itself. What a worker runs. `fields`: what lines before the block say of it."""
    matrix = core.Matrix(how.k, how.hosts, how.without)
    form = how.form if fields is None else how.form._replace(fields=fields, record=fields.load)
    return _chunk(matrix, how, *_append(matrix, form, block))


def _chunk(matrix: core.Matrix, how: How, read: int, about: int = 0) -> Chunk:
    """The rows of a matrix, of so many lines."""
    rows, dense = len(matrix), len(core.FEATURES)
    left = np.frombuffer(matrix.dense, dtype=np.float64).reshape(rows, dense).astype(np.float32)
    left[:, never_held(how)] = 0.0  # a column that is absent in every row is not worth its bytes
    right = scipy.sparse.csr_matrix(
        (
            np.ones(len(matrix.indices), dtype=np.float32),
            np.frombuffer(matrix.indices, dtype=np.int32),
            np.frombuffer(matrix.indptr, dtype=np.int64),
        ),
        shape=(rows, 1 << how.k),
    )
    both = scipy.sparse.hstack([scipy.sparse.csr_matrix(left), right], format="csr", dtype=np.float32)
    both.sort_indices()
    return Chunk(
        data=both.data,
        columns=both.indices.astype(np.int32),
        counts=np.diff(both.indptr).astype(np.int32),
        label=np.array(matrix.label, dtype=np.int8),
        time=np.array(matrix.time, dtype=np.int64),
        client=np.array(matrix.client, dtype=np.uint64),
        line=np.array(matrix.line, dtype=np.int64),
        who=np.array(matrix.keys[0::3], dtype=np.uint64),
        network=np.array(matrix.keys[1::3], dtype=np.uint64),
        look=np.array(matrix.keys[2::3], dtype=np.uint64),
        proof=np.array(matrix.proof, dtype=np.int8),
        lines=read,
        unreadable=matrix.unreadable,
        about=about,
        errors=matrix.errors,
        present=matrix.present,
        buckets=np.array(matrix.buckets, dtype=np.uint16),
        late=matrix.late,
        first_late=matrix.first_late,
    )


def never_held(how: How) -> list[int]:
    """Columns that no line of this format holds, or that are left out."""
    held = how.form.groups if how.looks_back else how.form.groups - {"client"}
    return [i for i, row in enumerate(core.FEATURES) if row.group not in held or row.name in how.without]


def _append(matrix: core.Matrix, form: Format, block: bytes) -> tuple[int, int]:
    """How many lines the block has, and how many of them are about the log."""
    if form.record is None:
        return matrix.append_lines(form.name, block, 1), 0
    # Of connections it knows what this block says, whoever reads the others: so the rows do not depend on how many read.
    line, about, handshakes = 0, 0, form.handshakes()
    for line, _, request, fault in lines.of_block(block, form, core.Request(), handshakes=handshakes):
        if request is not None:
            matrix.append(request, line)
        elif fault == ABOUT_THE_LOG:
            about += 1
        else:
            matrix.refuse(line, *fault)
    return line, about


def _chunks(log: str, digest: Any) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for block in reading.blocks(log):
        digest.update(block)
        held.append(block)
        size += len(block)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


@contextlib.contextmanager
def _workers(how: How, logs: Sequence[str]) -> Iterator[joblib.Parallel]:
    """Who featurizes: this process, processes on this machine, or a Dask cluster."""
    if how.scheduler is not None:
        with _cluster(how.scheduler) as client, joblib.parallel_config(backend="dask", client=client):
            yield joblib.Parallel(n_jobs=max(1, len(client.scheduler_info()["workers"])))
        return
    size = sum(Path(log).stat().st_size for log in logs if Path(log).is_file())
    jobs = how.jobs or (1 if size <= SMALL else len(os.sched_getaffinity(0)))
    with joblib.Parallel(n_jobs=jobs, backend="loky") as parallel:
        yield parallel


def _cluster(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise XbotError("a Dask cluster needs the package distributed: " + extras.command("dask")) from None
    try:
        connect: Any = Client  # it has no types
        return connect(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise XbotError(f"--scheduler {scheduler}: no Dask scheduler answers: {error}") from None


def _one_by_one(blocks: Iterator[bytes], how: How, clients: core.Clients) -> Iterator[tuple[int, Chunk]]:
    """Chunks of a format that csrc reads, by all that stands before them in the log, with the bytes each was made from."""
    for block in blocks:
        matrix = core.Matrix(how.k, how.hosts, how.without, clients)
        read = matrix.append_lines(how.form.name, block, 1)
        yield len(block), _chunk(matrix, how, read)


def _parallel(parallel: joblib.Parallel, blocks: Iterator[bytes], how: How) -> Iterator[tuple[int, Chunk]]:
    """Chunks in order, with the bytes each was made from. A round of tasks at a time bounds what is in memory."""
    width = 2 * max(1, parallel.n_jobs)
    states = _states(how.form.opened().fields)
    while batch := list(itertools.islice(blocks, width)):
        done = parallel(joblib.delayed(featurize)(block, how, states(block)) for block in batch)
        yield from zip(map(len, batch), done, strict=True)


def _states(fields: Reader | None) -> Callable[[bytes], Reader | None]:
    """A function that gives, for one block of a log after another, what the lines before it say of its lines."""

    def state(block: bytes) -> Reader | None:
        before = copy.copy(fields)
        if fields is not None:
            fields.skip(block)
        return before

    return state


class _Rows:
    """Arrays that grow in files and are then mapped. The files have no name any more: they go with the mapping."""

    _FIELDS = (
        ("data", np.float32), ("columns", np.int32), ("counts", np.int32), ("label", np.int8), ("time", np.int64),
        ("client", np.uint64), ("line", np.int64), ("who", np.uint64), ("network", np.uint64), ("look", np.uint64),
        ("proof", np.int8),
    )  # fmt: skip

    def __init__(self) -> None:
        # Closed when the mappings are: they outlive any block of a with statement.
        self.files = {name: tempfile.TemporaryFile(prefix=f"xbot-{name}-") for name, _ in self._FIELDS}  # noqa: SIM115

    def add(self, chunk: Chunk) -> None:
        for name, dtype in self._FIELDS:
            self.files[name].write(np.ascontiguousarray(getattr(chunk, name), dtype=dtype).data)

    def mapped(self, name: str) -> np.ndarray:
        file, dtype = self.files[name], dict(self._FIELDS)[name]
        file.flush()
        return np.memmap(file, dtype=dtype, mode="r") if file.tell() else np.empty(0, dtype=dtype)


class _Growing:
    """A data set while it is read."""

    def __init__(self, labels: Labels | None) -> None:
        self._labels, self._rows, self._present, self._unlabelled = labels, _Rows(), 0, 0
        self._buckets = np.zeros(1, dtype=np.uint16)
        self._sources: list[Source] = []
        self._remarks: list[str] = []
        self._first_error = ""

    def add(self, chunk: Chunk) -> None:
        """Takes in rows whose lines are numbered through all logs."""
        labelled = _labelled(chunk, self._labels)
        self._rows.add(labelled)
        self._present |= chunk.present
        self._buckets = self._buckets | chunk.buckets
        self._unlabelled += len(chunk.label) - len(labelled.label)

    def end(self, log: str, sha256: str, lines: int, unreadable: Unreadable, said: str) -> None:
        """Notes a log that was read, and what is to be told of it."""
        self._first_error = self._first_error or unreadable.first
        self._remarks += [said] if said else []
        self._sources.append(Source(Path(log).name, sha256, lines, unreadable.count))

    def done(self, k: int) -> Dataset:
        """The data set."""
        made = _dataset(self._rows, k, self._present, self._sources, self._unlabelled, self._first_error, self._remarks)
        return replace(made, buckets=np.broadcast_to(self._buckets, 1 << k))


def read(
    logs: Sequence[str], how: How, *, labels: Labels | None = None, advance: Callable[[int], None] = lambda _: None
) -> Dataset:
    """Featurizes every line of the logs and keeps those that have a label. `labels` replaces the labels of the logs;
    lines are numbered through all of them, as `xbot label` numbers them."""
    growing = _Growing(labels)
    if how.looks_back and (len(logs) > 1 or how.form.record is not None):
        _read_lines(logs, how, growing, advance)
    else:
        _read_chunks(logs, how, growing, advance)
    return growing.done(how.k)


def _read_chunks(logs: Sequence[str], how: How, growing: _Growing, advance: Callable[[int], None]) -> None:
    """One log after another, a chunk at a time."""
    before, order, clients = 0, merging.Order(), core.Clients() if how.looks_back else None
    with _workers(how, logs) as parallel:
        for log in logs:
            digest, lines, unreadable = hashlib.sha256(), 0, Unreadable(log)
            blocks = _chunks(log, digest)
            chunks = _parallel(parallel, blocks, how) if clients is None else _one_by_one(blocks, how, clients)
            for size, chunk in chunks:
                if chunk.errors:
                    line, name, why = chunk.errors[0]
                    unreadable.add(lines + line, name, why, chunk.unreadable)
                if chunk.about:
                    unreadable.add(0, *ABOUT_THE_LOG, chunk.about)
                order.add(log, lines + chunk.first_late, len(chunk.label), chunk.late)
                growing.add(chunk._replace(line=chunk.line + before + lines))
                lines += chunk.lines
                advance(size)
            growing.end(log, digest.hexdigest(), lines, unreadable, unreadable.said(lines))
            before += lines
    order.tell()


def _read_lines(logs: Sequence[str], how: How, growing: _Growing, advance: Callable[[int], None]) -> None:
    """All logs by time, a line at a time. What cannot be read is told as it comes."""
    digests = {log: hashlib.sha256() for log in logs}
    before, counts, size = merging.lines_before(logs), [0] * len(logs), 0

    def blocks(log: str) -> Iterator[bytes]:
        digests[log] = hashlib.sha256()
        for block in reading.blocks(log):
            digests[log].update(block)
            yield block

    def advanced(done: int) -> None:
        nonlocal size
        size += done
        advance(done)

    unreadable, matrix = [Unreadable(log) for log in logs], core.Matrix(how.k, how.hosts, how.without)
    for i, (line, _, request, _) in lines.of_logs(logs, how.form, core.Clients(), unreadable, advanced, blocks):
        counts[i] = line
        if request is not None:
            matrix.append(request, before[i] + line)
        if size >= CHUNK:
            growing.add(_chunk(matrix, how, len(matrix)))
            matrix, size = core.Matrix(how.k, how.hosts, how.without), 0
    growing.add(_chunk(matrix, how, len(matrix)))
    for log, count, each in zip(logs, counts, unreadable, strict=True):
        growing.end(log, digests[log].hexdigest(), count, each, "")


_OF_A_ROW = ("counts", "time", "client", "line", *Known._fields)


def _labelled(chunk: Chunk, labels: Labels | None) -> Chunk:
    """The rows of a chunk that have a label, with it."""
    label = chunk.label if labels is None else labels.of(chunk.line)
    known = label >= 0
    values = np.repeat(known, chunk.counts)
    by_row = {name: getattr(chunk, name)[known] for name in _OF_A_ROW}
    return chunk._replace(label=label[known], data=chunk.data[values], columns=chunk.columns[values], **by_row)


def _dataset(
    rows: _Rows, k: int, present: int, sources: list[Source], unlabelled: int, first_error: str, remarks: list[str]
) -> Dataset:
    counts = rows.mapped("counts")
    indptr = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=indptr[1:])
    if indptr[-1] < np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)  # as the columns: otherwise scipy would copy them to int64
    X = scipy.sparse.csr_matrix(
        (rows.mapped("data"), rows.mapped("columns"), indptr),
        shape=(len(counts), len(core.FEATURES) + (1 << k)),
        copy=False,
    )
    y, line, client, time = (rows.mapped(name) for name in ("label", "line", "client", "time"))
    known = Known(*(rows.mapped(name) for name in Known._fields))
    return Dataset(X, y, line, client, time, k, present, sources, unlabelled, first_error, remarks, known)


def words_of(logs: Sequence[str], how: How, buckets: set[int], most_lines: int = 50_000) -> dict[int, str]:
    """Texts of the wanted buckets, `family=word`, from the first lines of the logs."""
    found: dict[int, str] = {}
    every = itertools.chain.from_iterable(lines.of_log(log, how.form) for log in logs)
    for _, _, request, _ in itertools.islice(every, most_lines):
        if len(found) == len(buckets):
            break
        if request is None:
            continue
        for bucket, family, word in request.features(how.k, families=how.families)[1]:
            if bucket in buckets:
                found.setdefault(bucket, f"{family}={word}")
    return found
