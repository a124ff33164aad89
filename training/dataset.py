"""From logs to the matrix that is fitted: X in the columns of core.FEATURES, then 2^k buckets; y is 1 for a bot.

Law: the only reader of logs in training; every value comes from csrc/ through core.Matrix. Rows without a label are
left out and counted. X holds NaN where a feature is absent.
"""

from __future__ import annotations

import array
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse

from sidecar import core, reading
from sidecar.errors import XbotError

Labels = dict[int, int]
_WORDS = {"bot": 1, "human": 0}


@dataclass
class Source:
    """One log, as provenance records it: what it is called, what it holds, whether it is the same."""

    name: str
    sha256: str
    lines: int
    unreadable: int


@dataclass
class Dataset:
    """X: CSR, rows x (len(core.FEATURES) + 2^k); y: int8; `line`: each row's line; `present`: the groups seen."""

    X: scipy.sparse.csr_matrix
    y: np.ndarray
    line: np.ndarray
    k: int
    present: int
    sources: list[Source] = field(default_factory=list)
    unlabelled: int = 0
    first_error: str = ""

    @property
    def unreadable(self) -> int:
        return sum(source.unreadable for source in self.sources)


def known_hosts(path: Path) -> array.array[int]:
    """The set of hosts in a file, one a line, as a model carries it. In a ranked list the rank and comma are let be."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    hosts = {line.strip().rpartition(b",")[2] for line in lines} - {b""}
    if not hosts:
        raise XbotError(f"{path}: empty, no host to know")
    return array.array("I", sorted({core.host_hash(host) for host in hosts}))


def read_labels(path: Path) -> Labels:
    """Reads `line TAB label` (bot or human; other words leave the line unlabelled; further columns are let be)."""
    labels: Labels = {}
    try:
        text = path.read_text("utf-8", "backslashreplace")
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split("\t")
        if number == 1 and parts[0] == "line":
            continue
        if len(parts) < 2 or not parts[0].isdigit():
            raise XbotError(f"{path}:{number}: line: expected a line number, a tab and bot or human")
        if parts[1] in _WORDS:
            labels[int(parts[0])] = _WORDS[parts[1]]
    if not labels:
        raise XbotError(f"{path}: no line says bot or human")
    return labels


def masked_names(without: Iterable[str]) -> frozenset[str]:
    """The features and families that `--without` names leave out: names of groups, features, families."""
    rows = [*core.FEATURES, *core.FAMILIES]
    names: set[str] = set()
    for word in without:
        found = {row.name for row in rows if word in (row.name, row.group)}
        if not found:
            raise XbotError(f"--without {word}: no group, feature or family of that name")
        names |= found
    return frozenset(names)


def read(
    logs: Sequence[str],
    log_format: str,
    k: int,
    *,
    hosts: array.array[int] | None = None,
    without: frozenset[str] = frozenset(),
    labels: Labels | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Dataset:
    """Featurizes every line of the logs. `labels` replaces the labels of the (single) log itself."""
    matrix = core.Matrix(k, hosts, without)
    sources, first_error = [], ""
    for log in logs:
        digest, lines, errors_before = hashlib.sha256(), 0, len(matrix.errors)
        for block in reading.blocks(log):
            digest.update(block)
            lines += _append(matrix, log_format, block, lines + 1)
            advance(len(block))
        if not lines:
            raise XbotError(f"{log}: empty, no line to read")
        errors = matrix.errors[errors_before:]
        if errors and not first_error:
            first_error = "{}:{}: {}: {}".format(log, *errors[0])
        sources.append(Source(Path(log).name, digest.hexdigest(), lines, len(errors)))
    return _dataset(matrix, sources, first_error, labels)


def _append(matrix: core.Matrix, log_format: str, block: bytes, first_line: int) -> int:
    if log_format != "jsonl":
        return matrix.append_lines(log_format, block, first_line)
    request, lines = core.Request(), block.removesuffix(b"\n").split(b"\n")
    for line, text in enumerate(lines, first_line):
        try:
            reading.load_record(text, request)
        except core.LineError as error:
            matrix.errors.append((line, *error.args))
            continue
        matrix.append(request, line)
    return len(lines)


def _dataset(matrix: core.Matrix, sources: list[Source], first_error: str, labels: Labels | None) -> Dataset:
    rows, dense = len(matrix), len(core.FEATURES)
    left = np.frombuffer(matrix.dense, dtype=np.float64).reshape(rows, dense)
    indptr, indices = (
        np.frombuffer(matrix.indptr, dtype=np.int64),
        np.frombuffer(matrix.indices, dtype=np.int32),
    )
    ones = np.ones(len(indices))
    right = scipy.sparse.csr_matrix((ones, indices, indptr), shape=(rows, 1 << matrix.k))
    line = np.frombuffer(matrix.line, dtype=np.int64)
    y = np.frombuffer(matrix.label, dtype=np.int8)
    if labels is not None:
        y = np.array([labels.get(int(number), -1) for number in line], dtype=np.int8)
    known = y >= 0
    X = scipy.sparse.hstack([scipy.sparse.csr_matrix(left), right], format="csr")[known]
    return Dataset(X, y[known], line[known], matrix.k, matrix.present, sources, int((~known).sum()), first_error)


def words_of(
    logs: Sequence[str], log_format: str, k: int, buckets: set[int], most_lines: int = 50_000
) -> dict[int, str]:
    """Texts of the wanted buckets, `family=word`, from the first lines of the logs."""
    found: dict[int, str] = {}
    request = core.Request()
    for log in logs:
        seen = 0
        for block in reading.blocks(log):
            for text in block.removesuffix(b"\n").split(b"\n"):
                seen += 1
                if seen > most_lines or len(found) == len(buckets):
                    break
                try:
                    if log_format == "jsonl":
                        reading.load_record(text, request)
                    else:
                        request.load_line(log_format, text.removesuffix(b"\r"))
                except core.LineError:
                    continue
                for bucket, family, word in request.features(k)[1]:
                    if bucket in buckets:
                        found.setdefault(bucket, f"{family}={word}")
    return found
