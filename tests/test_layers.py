"""The arrows of ARCHITECTURE.md: who may import and include whom.

Law: a request goes nginx -> sidecar -> csrc, a model goes training -> sidecar -> csrc, and nothing goes back.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SIDECAR = sorted((ROOT / "sidecar").rglob("*.py"))
TRAINING = sorted((ROOT / "training").rglob("*.py"))
# What serving and scoring must never need.
HEAVY = {
    "training",
    "sklearn",
    "numpy",
    "scipy",
    "joblib",
    "pandas",
    "matplotlib",
    "threadpoolctl",
    "distributed",
    "dask",
}
# What training may know of the sidecar: the featurizer, the model file, the readers, errors, progress; not what serves.
SERVING = {"protocol", "serve", "board", "observe"}


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a source imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def cython_imports(path: Path) -> set[str]:
    """Top-level names that a .pyx or .pxd imports or cimports."""
    return set(re.findall(r"^\s*(?:from|c?import)\s+([A-Za-z_]\w*)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", SIDECAR, ids=lambda path: path.name)
def test_the_sidecar_imports_nothing_of_training(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & HEAVY


@pytest.mark.parametrize("path", sorted((ROOT / "sidecar").glob("*.p[yx][xd]")), ids=lambda path: path.name)
def test_the_binding_imports_little(path: Path) -> None:
    assert cython_imports(path) <= {"cpython", "libc", "sidecar", "array", "json", "collections", "asyncio"}


def test_what_serves_loads_nothing_heavy() -> None:
    """In an interpreter of its own: every module of the sidecar is imported, and none of the others came with it."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SIDECAR if path.stem != "__main__"
    ] + [
        "sidecar.core",
        "sidecar.protocol",
    ]
    program = f"import sys\nfor name in {modules}: __import__(name)\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert not set(done.stdout.decode().split()) & HEAVY


def test_a_worker_loads_less() -> None:
    """What answers requests needs no table printer, no metrics library and no command line."""
    program = "import sys, sidecar.serve.worker\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert not set(done.stdout.decode().split()) & (HEAVY | {"rich", "prometheus_client"})


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: str(path.relative_to(ROOT)))
def test_training_knows_nothing_of_serving(path: Path) -> None:
    """It imports the featurizer, the model file and the readers of the sidecar; never what answers requests."""
    found = {name.split(".")[1] for name in imports(path) if name.startswith("sidecar.")}
    assert not found & SERVING


@pytest.mark.parametrize(
    "path", [path for path in TRAINING if path.parent.name == "training"], ids=lambda path: path.name
)
def test_training_reads_logs_by_the_sidecar(path: Path) -> None:
    """One featurizer: no module that fits takes a user agent, a URL or a log line apart by itself."""
    assert not {name.partition(".")[0] for name in imports(path)} & {"urllib", "woothee", "ua_parser", "user_agents"}


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#include\s+["<]([^">]+)[">]', path.read_text(), re.MULTILINE)


C_FILES = sorted((ROOT / "csrc").glob("*.[ch]")) + sorted((ROOT / "csrc").glob("*.def"))
STANDARD = {
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "string.h",
    "math.h",
    "stdio.h",
    "time.h",
    "arpa/inet.h",
    "emmintrin.h",
}


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_csrc_knows_no_python(path: Path) -> None:
    """It includes itself and a few headers of the system; no allocation is in reach."""
    own = {other.name for other in C_FILES}
    assert set(includes(path)) <= own | STANDARD
    assert "Python.h" not in path.read_text()
    assert not re.search(r"\b(malloc|calloc|realloc|strdup|alloca)\s*\(", path.read_text())


def test_headers_of_csrc_form_no_cycle() -> None:
    graph = {
        path.name: [name for name in includes(path) if name.endswith(".h") and (ROOT / "csrc" / name).exists()]
        for path in C_FILES
        if path.suffix == ".h"
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert "answer.h" in done


def test_each_header_stands_alone(tmp_path: Path) -> None:
    """Compiled by itself, it needs no other before it."""
    for path in C_FILES:
        if path.suffix == ".h":
            command = [
                "gcc",
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-fsyntax-only",
                f"-I{ROOT / 'csrc'}",
                "-x",
                "c",
                str(path),
            ]
            done = subprocess.run(command, capture_output=True, check=False)
            assert b"error" not in done.stderr.replace(b"-Werror", b""), done.stderr.decode()


def test_packages_are_those_that_exist() -> None:
    """Each folder with modules is in pyproject's list, and the other way round; entry points lead somewhere."""
    folders = {
        path.parent.relative_to(ROOT) for top in ("sidecar", "training") for path in (ROOT / top).rglob("__init__.py")
    }
    assert {str(folder).replace("/", ".") for folder in folders} == set(PROJECT["tool"]["setuptools"]["packages"])
    entries = {**PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]["xbot.commands"]}
    for target in entries.values():
        module, _, attribute = target.partition(":")
        source = (ROOT / module.replace(".", "/")).with_suffix(".py")
        names = {getattr(node, "name", None) for node in ast.parse(source.read_text()).body}
        assert attribute in names, target


def test_what_is_imported_is_declared() -> None:
    """Each package that a module imports is in the list of dependencies that its users install."""

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9_-]", one)[0].lower().replace("-", "_") for one in requirements}

    project = PROJECT["project"]
    base = names(project["dependencies"])
    extras = set().union(*(names(group) for group in project["optional-dependencies"].values()))
    module_of = {"sklearn": "scikit_learn", "crawleruseragents": "crawler_user_agents", "markupsafe": "jinja2"}
    known = set(sys.stdlib_module_names) | {"sidecar", "training", "cython"}
    for paths, allowed in ((SIDECAR, base), (TRAINING, base | extras)):
        for path in paths:
            for name in {name.partition(".")[0] for name in imports(path)} - known:
                optional = name in ("distributed",)  # a cluster is the user's own
                assert optional or module_of.get(name, name).lower() in allowed, (
                    f"{path.relative_to(ROOT)} imports {name}"
                )


def test_pages_that_documents_name_exist() -> None:
    """Links between the project's own pages and files."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} names {target}"
