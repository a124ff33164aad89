"""The command, forked from a process that has imported scikit-learn, which takes longer than most of what is tested with it.

Law: each run has a process of its own, in which everything of xbot is imported anew, with the directory, the environment and the umask
of the test that runs it; so it differs from the command only in when other people's packages were loaded. Limits of resources are those
of the tests' process when it first came here: whoever sets others starts the command itself. One run at a time.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# What training imports of others.
_HOLDER = """
import json, os, sys
import joblib, numpy, scipy.optimize, scipy.sparse, scipy.stats
import sklearn.compose, sklearn.impute, sklearn.linear_model, sklearn.metrics, sklearn.model_selection, sklearn.naive_bayes, sklearn.svm

assert not any(name.split(".")[0] in ("sidecar", "training") for name in sys.modules)
for line in sys.stdin:
    job = json.loads(line)
    if not (child := os.fork()):
        for fd, name in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
            os.dup2(os.open(name, os.O_RDWR), fd)
        sys.stdin = open(0)
        os.chdir(job["cwd"])
        os.umask(job["umask"])
        os.environ.clear()
        os.environ.update(job["environment"])
        sys.argv = job["arguments"]
        from sidecar.commands.cli import main

        sys.exit(main())
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _holder(process: int) -> subprocess.Popen[str]:
    """It ends with the process of the tests, when its standard input does."""
    assert process == os.getpid()
    return subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs `arguments`, of which the first is the command's own path, to its end, in this directory, with no standard input."""
    holder = _holder(os.getpid())
    assert holder.stdin is not None
    assert holder.stdout is not None
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        umask = os.umask(0)
        os.umask(umask)
        job = {"arguments": arguments, "out": out.name, "err": err.name, "cwd": str(cwd), "umask": umask}
        holder.stdin.write(json.dumps({**job, "environment": dict(os.environ)}) + "\n")
        holder.stdin.flush()
        code = int(holder.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())
