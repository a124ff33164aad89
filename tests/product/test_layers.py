"""The arrows of ARCHITECTURE.md: who may import and include whom.

Law: a request goes nginx -> sidecar -> csrc, a model goes training -> sidecar -> csrc, and nothing goes back. MAY is the
whole list of who may import whom; what is not in it is refused.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
# Who may import whom: a folder, and the folders and modules that it may import besides its own. From the ground up: a line
# names only what stands above it. `sidecar` alone is what lies in that folder itself: the model file, outputs, errors.
MAY = {
    "sidecar.core": set(),
    "sidecar.net": {"sidecar.core"},
    "sidecar": {"sidecar.core"},
    "sidecar.sources.fields": {"sidecar", "sidecar.core"},
    "sidecar.sources": {"sidecar", "sidecar.core", "sidecar.sources.fields"},
    "sidecar.verify": {"sidecar", "sidecar.core"},
    "sidecar.config": {"sidecar", "sidecar.core", "sidecar.verify"},
    "sidecar.board": {"sidecar", "sidecar.core", "sidecar.net", "sidecar.verify", "sidecar.config"},
    "sidecar.decisions": {"sidecar", "sidecar.core", "sidecar.sources", "sidecar.config", "sidecar.board"},
    "sidecar.live": {
        "sidecar",
        "sidecar.core",
        "sidecar.sources",
        "sidecar.config",
        "sidecar.board",
        "sidecar.decisions",
    },
    "sidecar.observe": {"sidecar", "sidecar.core", "sidecar.config", "sidecar.board", "sidecar.live"},
    "sidecar.steer": {"sidecar", "sidecar.core", "sidecar.config", "sidecar.board", "sidecar.live"},
    "sidecar.watch": {"sidecar.core", "sidecar.sources", "sidecar.steer"},
    "sidecar.site": {"sidecar", "sidecar.core", "sidecar.config", "sidecar.board"},
    "sidecar.share": {"sidecar.core", "sidecar.board"},
    "sidecar.serve": {
        "sidecar",
        "sidecar.core",
        "sidecar.net",
        "sidecar.config",
        "sidecar.board",
        "sidecar.verify",
        "sidecar.decisions",
        "sidecar.live",
        "sidecar.observe",
        "sidecar.steer",
        "sidecar.share",
        "sidecar.site",
    },
    "sidecar.commands": {
        "sidecar",
        "sidecar.core",
        "sidecar.sources",
        "sidecar.verify",
        "sidecar.config",
        "sidecar.decisions",
        "sidecar.observe",
        "sidecar.serve",
    },
    "sidecar.replay": {"sidecar", "sidecar.core", "sidecar.sources", "sidecar.verify", "sidecar.commands.judging"},
    "sidecar.check": {
        "sidecar",
        "sidecar.core",
        "sidecar.sources",
        "sidecar.verify",
        "sidecar.config",
        "sidecar.board",
        "sidecar.steer",
        "sidecar.commands.serve",
    },
    "training": {"sidecar", "sidecar.core", "sidecar.sources", "sidecar.sources.fields"},
    "training.corpus": {"sidecar"},
    "training.corpus.sessions": {"sidecar", "training.corpus"},
    "training.label": {"sidecar", "sidecar.core", "sidecar.verify", "sidecar.sources"},
    "training.report": {"sidecar", "sidecar.core", "sidecar.sources", "training", "training.label"},
    "training.commands": {
        "sidecar",
        "sidecar.core",
        "sidecar.verify",
        "sidecar.sources",
        "training",
        "training.report",
    },
}
# `python -m sidecar` is the command, which is above everything.
ENTRANCES = {"sidecar.__main__": {"sidecar.commands.cli"}}
# Source files in a folder, besides __init__ and __main__.
MOST_FILES = 12


def module(path: Path) -> str:
    """The full name of a source's module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def folder(name: str) -> str:
    """The package that holds a module; a package holds itself."""
    return name if name in MAY else name.rpartition(".")[0]


# Sources of the extensions. What the main file of one includes is a part of that module.
CYTHON = sorted(path for path in (ROOT / "sidecar").rglob("*") if path.suffix in (".pyx", ".pxi", ".pxd"))
COMPILED = {module(path): path for path in CYTHON if path.suffix in (".pyx", ".pxd")}
MODULES = {module(path): path for path in (*SIDECAR, *TRAINING)}


def imports(path: Path) -> Iterator[str]:
    """The full names of all that a source imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> Iterator[str]:
    """The modules of the project that a source imports, under type checking too."""
    for name in imports(path):
        if name.partition(".")[0] in ("sidecar", "training"):
            while name not in MODULES and name not in COMPILED:
                name = name.rpartition(".")[0]
                assert name, f"{path}: imports what is not there"
            yield name


def cython_imports(path: Path) -> set[str]:
    """The modules that a source of an extension imports or cimports."""
    return set(re.findall(r"^\s*(?:from|c?import)\s+([A-Za-z_][\w.]*)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", SIDECAR, ids=lambda path: path.name)
def test_the_sidecar_imports_nothing_of_training(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & HEAVY


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: path.name)
def test_extensions_import_little(path: Path) -> None:
    """The standard library, and what their folder may."""
    own = folder(module(path)).removesuffix(".board") if path.suffix == ".pxi" else folder(module(path))
    names = cython_imports(path)
    assert {name.partition(".")[0] for name in names} <= {
        "cpython",
        "posix",  # likewise
        "cython",  # directives alone: nothing is imported when it runs
        "libc",
        "sidecar",
        "array",
        "json",
        "os",
        "collections",
        "asyncio",
    }
    for other in names:
        if other.startswith("sidecar"):
            assert other in COMPILED, f"{path.name} imports {other}"
            assert folder(other) in {own, *MAY[own]}, f"{path.name} imports {other}"


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: path.name)
def test_each_source_of_an_extension_states_its_law(path: Path) -> None:
    header = re.match(r'(?:# cython: .*\n)?(?:"""(?:.|\n)*?"""|(?:#.*\n)+)', path.read_text())
    assert header
    assert "\nLaw: " in header[0].replace("\n# ", "\n")


def test_what_is_included_is_there_and_nothing_else() -> None:
    for path in CYTHON:
        named = set(re.findall(r'^include "(.*)"$', path.read_text(), re.MULTILINE))
        main = path.suffix == ".pyx"
        assert named == (
            {str(other.relative_to(path.parent)) for other in path.parent.rglob("*.pxi")} if main else set()
        ), path


def test_what_serves_loads_nothing_heavy() -> None:
    """In an interpreter of its own: every module of the sidecar is imported, and none of the others came with it."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SIDECAR if path.stem != "__main__"
    ] + ["sidecar.core.binding", "sidecar.net.protocol"]
    program = f"import sys\nfor name in {modules}: __import__(name)\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    assert not set(done.stdout.decode().split()) & HEAVY


def test_a_worker_loads_less() -> None:
    """What answers requests needs no table printer, no metrics library and no command line; of ours, these and no more."""
    program = "import sys, sidecar.serve.worker\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.decode().split())
    assert not {name.partition(".")[0] for name in loaded} & (
        HEAVY | {"rich", "h11", "prometheus_client", "click", "structlog", "msgspec"}
    )
    ours = {name.removeprefix("sidecar.") for name in loaded if name.startswith("sidecar.")}
    assert ours == {
        "core",
        "core.binding",
        "net",
        "net.protocol",
        "board",
        "board.handshakes",
        "board.lanes",
        "board.proofs",
        "board.memory",
        "board.slots",
        "board.wheel",
        "serve",
        "serve.control",
        "serve.worker",
    }


@pytest.mark.parametrize("name", MODULES)
def test_each_module_imports_only_what_it_may(name: str) -> None:
    own = folder(name)
    assert own in MAY, f"{own} is new: say in MAY what it may import"
    may = {own, *MAY[own], *ENTRANCES.get(name, ())}
    for other in own_imports(MODULES[name]):
        assert other in may or folder(other) in may, f"{name} imports {other}"
        assert other != "sidecar.net.protocol" or name == "sidecar.serve.worker", (
            f"{name} imports what answers requests"
        )


def test_the_whitelist_has_no_arrow_upwards_and_none_too_many() -> None:
    """Each folder may import only what is listed above it, so folders form no circle; and each arrow is in use."""
    above: list[str] = []
    for own, others in MAY.items():
        assert {folder(other) for other in others} <= set(above), own
        above.append(own)
        used = {other for name, path in MODULES.items() if folder(name) == own for other in own_imports(path)}
        used |= {other for path in CYTHON if folder(module(path)) == own for other in cython_imports(path)}
        for other in others:
            assert any(each == other or folder(each) == other for each in used), f"{own} does not import {other}"


def circle(graph: dict[str, set[str]]) -> str:
    """One circle of a graph, written as a -> b -> a; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> str:
        if name in way:
            return " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph.get(name, ())):
                if found := visit(other, (*way, name)):
                    return found
            done.add(name)
        return ""

    return next(filter(None, (visit(name, ()) for name in graph)), "")


def test_modules_form_no_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == "b -> c -> b"
    # A package's own file is what runs before any module of it; it may gather them.
    graph = {name: set(own_imports(path)) - {folder(name)} for name, path in MODULES.items()}
    assert not circle(graph)


def test_no_folder_is_crowded() -> None:
    """Those of the tests with their programs in C too: what outgrows the number is two things."""
    tests = {path.parent for path in (ROOT / "tests").rglob("*.[pch]*") if path.parent.name != "__pycache__"}
    for place in {path.parent for path in MODULES.values()} | tests:
        files = [
            path
            for path in place.iterdir()
            if path.suffix in (".py", ".pyx", ".pxi", ".c", ".h") and path.stem not in ("__init__", "__main__")
            if path.suffix != ".c" or not path.with_suffix(".pyx").exists()  # written by Cython
        ]
        assert len(files) <= MOST_FILES, f"{place.relative_to(ROOT)} holds {len(files)} source files"


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_each_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "path", [path for path in TRAINING if path.parent.name == "training"], ids=lambda path: path.name
)
def test_training_reads_logs_by_the_sidecar(path: Path) -> None:
    """One featurizer: no module that fits takes a user agent, a URL or a log line apart by itself."""
    assert not {name.partition(".")[0] for name in imports(path)} & {"urllib", "woothee", "ua_parser", "user_agents"}


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#include\s+["<]([^">]+)[">]', path.read_text(), re.MULTILINE)


C_FILES = sorted((ROOT / "csrc").rglob("*.[ch]")) + sorted((ROOT / "csrc").rglob("*.def"))
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
    own = {str(other.relative_to(ROOT / "csrc")) for other in C_FILES}
    assert set(includes(path)) <= own | STANDARD
    assert "Python.h" not in path.read_text()
    assert not re.search(r"\b(malloc|calloc|realloc|strdup|alloca)\s*\(", path.read_text())


def test_headers_of_csrc_form_no_cycle() -> None:
    graph = {
        str(path.relative_to(ROOT / "csrc")): [
            name for name in includes(path) if name.endswith(".h") and (ROOT / "csrc" / name).exists()
        ]
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


# "." is csrc/ itself: judge, served, answer
FLOORS = ("base", "request", "board", "clients", "features", "model", "policy", ".")


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_folders_of_csrc_include_what_is_before_them(path: Path) -> None:
    """In the order in which a request meets them, and never the other way."""

    def floor(name: Path) -> int:
        return FLOORS.index(str(name.parent))

    here = path.relative_to(ROOT / "csrc")
    for name in includes(path):
        if name not in STANDARD:
            assert floor(Path(name)) <= floor(here), f"{here} includes {name}"


def test_folders_of_csrc_are_small() -> None:
    """At most twelve source files: what outgrows that is two things."""
    for folder in FLOORS:
        assert len(list((ROOT / "csrc" / folder).glob("*.c"))) <= 12, folder


def test_each_header_stands_alone(tmp_path: Path) -> None:
    """Compiled by itself, it needs no other before it."""
    for path in C_FILES:
        if path.suffix == ".h":
            command = [
                "gcc",
                "-std=gnu11",
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
    module_of = {
        "sklearn": "scikit_learn",
        "crawleruseragents": "crawler_user_agents",
        "markupsafe": "jinja2",
        "dns": "dnspython",
    }
    known = set(sys.stdlib_module_names) | {"sidecar", "training", "cython"}
    verifying = [path for path in SIDECAR if path.parent.name == "verify"]
    sharing = [path for path in SIDECAR if path.parent.name == "site"]
    others = [path for path in SIDECAR if path not in (*verifying, *sharing)]
    proofs, store = (names(project["optional-dependencies"][extra]) for extra in ("verify", "store"))
    for paths, allowed in (
        (others, base),
        (verifying, base | proofs),
        (sharing, base | store),
        (TRAINING, base | extras),
    ):
        for path in paths:
            for name in {name.partition(".")[0] for name in imports(path)} - known:
                optional = name in ("distributed",)  # a cluster is the user's own
                assert optional or module_of.get(name, name).lower() in allowed, (
                    f"{path.relative_to(ROOT)} imports {name}"
                )
    # And nothing else comes with what serves: a tool of the tests would be on each machine.
    used = {
        module_of.get(name, name).lower()
        for path in SIDECAR
        for name in (top.partition(".")[0] for top in imports(path))
    }
    assert base <= used


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_pages_that_documents_name_exist() -> None:
    """Links between the project's own pages and files."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} names {target}"


TOPS = "bench|csrc|demo|deploy|docs|nginx|sidecar|tests|training"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_documents_name_exist(page: Path) -> None:
    """`folder/file`, and what is named in one: `NAME` in `folder/file`."""
    text = page.read_text()
    for name in re.findall(rf"`((?:{TOPS})/[\w./-]*[\w-])`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    for word, name in re.findall(rf"`(\w+)` (?:in|of) `((?:{TOPS})/[\w./-]+\.\w+)`", text):
        assert re.search(rf"\b{word}\b", (ROOT / name).read_text()), f"{page.name}: {name} has no {word}"


def test_tests_that_sources_name_exist() -> None:
    """A comment that says which test holds something is of use as long as there is one."""
    sources = [*MODULES.values(), *C_FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*.[ch]")]
    for source in sources:
        for name in re.findall(r"\btests/[\w/]+\.(?:py|c|h|tsv|jsonl|toml)\b", source.read_text()):
            assert (ROOT / name).exists(), f"{source.relative_to(ROOT)} names {name}"
