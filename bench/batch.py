"""The Python API on whole logs: featurize and score a second, beside scikit-learn and ONNX Runtime on the same model.

Law: one thread each, the same lines, the same weights; margins must agree (xbot and scikit-learn within 1e-9, ONNX Runtime,
which computes in single precision, within 1e-3), or nothing is measured. What the others get is xbot's own matrix: they
have no featurizer, so their whole way is xbot's featurizing and their predict.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import report
from processes import BenchError
from rows import Bench

LINES = 20_000


def measure(bench: Bench, rounds: int, seconds: float) -> dict[str, Any]:  # noqa: ARG001 - a pass over all lines is a round
    import onnxruntime
    from scipy import sparse
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    from sidecar import core
    from sidecar import model as files

    model = files.load(bench.xbot_model)
    lines = bench.log.read_bytes().splitlines(keepends=True)
    block = b"".join((lines * (LINES // len(lines) + 1))[:LINES])
    request = core.Request()
    n_dense, mean, scale = len(core.FEATURES), np.array(model.mean), np.array(model.scale)
    weight, header = np.array(model.weight), model.header

    def featurized() -> core.Matrix:
        matrix = core.Matrix(model.k, array("I"), frozenset())
        matrix.append_lines("challenge", block, 1)
        return matrix

    def scored() -> bytes:
        out: list[bytes] = []
        model.report_lines(request, "challenge", block, 1, False, out.append)
        return b"".join(out)

    matrix = featurized()
    dense = np.array(matrix.dense, dtype=np.float64).reshape(len(matrix), n_dense)
    dense = np.clip(dense, model.lower, model.upper)
    dense = np.where(np.isnan(dense), mean, dense)  # an absent feature counts as its mean
    indices, indptr = np.array(matrix.indices), np.array(matrix.indptr)
    words = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(matrix), 2**model.k))
    table = sparse.hstack([sparse.csr_matrix((dense - mean) / scale), words], format="csr")

    # The same weights in scikit-learn's own classes: what `predict` of the fitted pipeline would run.
    scaler, machine = StandardScaler(), LogisticRegression()
    scaler.mean_, scaler.scale_, scaler.var_, scaler.n_features_in_ = mean, scale, scale**2, n_dense
    machine.coef_, machine.intercept_ = weight[None, :], np.array([header["bias"]])
    machine.classes_, machine.n_features_in_ = np.array([0, 1]), len(weight)
    # ONNX has no sparse matrix for it: dense features alone, in all three, for the comparison of scoring.
    dense_machine = LogisticRegression()
    dense_machine.coef_, dense_machine.intercept_ = weight[None, :n_dense], np.array([header["bias"]])
    dense_machine.classes_, dense_machine.n_features_in_ = np.array([0, 1]), n_dense
    pipeline = make_pipeline(scaler, dense_machine)
    exported = to_onnx(
        pipeline,
        initial_types=[("x", FloatTensorType([None, n_dense]))],
        options={LogisticRegression: {"raw_scores": True, "zipmap": False}},
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(exported.SerializeToString(), options, providers=["CPUExecutionProvider"])
    single = dense.astype(np.float32)

    check("scikit-learn", machine.decision_function(table)[:200], own_margins(core, model, lines), 1e-9)
    by_onnx = np.asarray(session.run(None, {"x": single})[1])[:, -1]
    check("ONNX Runtime", by_onnx, pipeline.decision_function(dense), 1e-3)

    ways: dict[str, Callable[[], Any]] = {
        "xbot: lines to features": featurized,
        "xbot: lines to verdicts": scored,
        "scikit-learn: predict on the matrix (dense and words)": lambda: machine.predict(table),
        "scikit-learn: predict on the dense part": lambda: pipeline.predict(dense),
        "ONNX Runtime: on the dense part": lambda: session.run(None, {"x": single}),
    }
    return timed(ways, rounds, threadpool_limits)


def own_margins(core: Any, model: Any, lines: list[bytes]) -> np.ndarray[Any, Any]:
    request, margins = core.Request(), []
    for line in lines[:200]:
        request.load_line("challenge", line.rstrip(b"\n"))
        margins.append(model.judge(request).margin)
    return np.array(margins)


def check(who: str, theirs: np.ndarray[Any, Any], ours: np.ndarray[Any, Any], within: float) -> None:
    off = float(np.max(np.abs(theirs[: len(ours)] - ours)))
    if not off <= within * max(1.0, float(np.max(np.abs(ours)))):
        raise BenchError(f"{who}: its margins differ by {off:.3g}: that is another model")


def timed(ways: dict[str, Callable[[], Any]], rounds: int, one_thread: Any) -> dict[str, Any]:
    """Lines a second of this process' CPU, in turns."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        with one_thread(1):
            for way in ways.values():
                way()
            for _ in range(rounds):
                for name, way in ways.items():
                    started = time.process_time()
                    way()
                    figures[name].append({"lines_per_second": LINES / (time.process_time() - started)})
    finally:
        os.sched_setaffinity(0, cores)
    return {name: report.summary(found) for name, found in figures.items()}
