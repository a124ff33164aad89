"""The result of a run as tables: on the terminal, and as markdown for docs/benchmarks.md.

Law: both come from the same `tables`, which reads nothing but the JSON of a run; no figure is ever typed by
hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# Requests/s of the first over the second: at least the third.
RATIOS = (("xbot", "static", 0.95), ("xbot", "hackathon", 60.0), ("xbot", "unguarded", None))


@dataclass(frozen=True)
class Table:
    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


def summary(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Median, min and max of each figure over the rounds of a row."""
    keys = rounds[0]
    return {
        name: {key: function([one[key] for one in rounds]) for key in keys}
        for name, function in (("median", statistics.median), ("min", min), ("max", max))
    }


def ratios(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """How many times the one row's rate is the other's in the same round, and how many times less CPU a request takes
    (nginx and service together): median, min and max over the rounds."""

    def rate(one: dict[str, float]) -> float:
        return one["requests_per_second"]

    def thrift(one: dict[str, float]) -> float:
        return 1 / (one["nginx_us"] + one["service_us"])

    found = []
    for upper, lower, wanted in RATIOS:
        if upper in rows and lower in rows:
            pairs = list(zip(rows[upper]["rounds"], rows[lower]["rounds"], strict=True))
            figures = {
                name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
                for name, figure in (("rate", rate), ("cpu", thrift))
                if (values := [figure(a) / figure(b) for a, b in pairs])
            }
            found.append({"row": upper, "over": lower, "wanted": wanted, **figures})
    return found


def spread(median: float, low: float, high: float, digits: int = 0) -> str:
    return f"{median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def through_nginx(result: dict[str, Any]) -> Table:
    lines = []
    for row in result["rows"].values():
        failed = sum(one["failed"] for one in row["rounds"])

        def figure(key: str, digits: int, row: dict[str, Any] = row) -> str:
            return spread(row["median"][key], row["min"][key], row["max"][key], digits)

        latency = [figure("p50_ms", 2), figure("p99_ms", 2), f"{failed:,} FAILED" if failed else "0"]
        cpu = [figure("nginx_us", 1), figure("service_us", 1) if row["memory"] else "–"]
        busy = f"{row['median']['busy']:.0%}"
        lines.append([row["title"], figure("requests_per_second", 0), *latency, *cpu, busy])
    lines += [[f"{name}: skipped, {why}", *["–"] * 7] for name, why in result["skipped"].items()]
    run = result["run"]
    columns = ["row", "requests/s", "p50 ms", "p99 ms", "failed", "nginx µs/request", "service µs/request"]
    note = (
        f"{run['rounds']} × {run['seconds']:g} s a row, in turns. {run['connections']} connections in a "
        f"closed loop at full load; {run['heads']} heads, {run['mean_bytes']:.0f} bytes in the mean. "
        f"Core {run['gate_cores']}: nginx and the service; core {run['outer_cores']}: wrk and the site. "
        f"Models fitted on {run['log']}."
    )
    title = "Through nginx: median (lowest–highest) of the rounds"
    return Table(title, [*columns, "core busy"], lines, note)


def against_each_other(result: dict[str, Any]) -> Table:
    lines = [
        [
            f"{one['row']} over {one['over']}",
            *(spread(one[kind]["median"], one[kind]["min"], one[kind]["max"], 2) for kind in ("rate", "cpu")),
            f"{one['wanted']:g}" if one["wanted"] else "–",
        ]
        for one in result["ratios"]
    ]
    title = "Rows against each other, within each round"
    columns = ["ratio", "requests/s", "requests per CPU second", "wanted, of requests/s"]
    return Table(title, columns, lines)


def verdicts(result: dict[str, Any]) -> Table:
    lines = [
        [row["title"], ", ".join(f"{n} × {told}" for told, n in row["told"].items())] for row in result["rows"].values()
    ]
    note = ""
    if about := result["hackathon"]:
        note = (
            f"The re-created model: accuracy {about['accuracy']:.4f} on {about['held_out']:,} held-out rows "
            f"of {result['run']['log']}; "
            f"{about['support_vectors']:,} support vectors, {about['columns']} columns."
        )
    return Table("What the site was told of the heads of the load", ["row", "heads"], lines, note)


def memory(result: dict[str, Any]) -> Table:
    lines = []
    for row in result["rows"].values():
        if sizes := row["memory"]:
            each = [f"{one['rss']:.1f} / {one['pss']:.1f}" for one in sizes]
            shown = ", ".join(each[:2]) + (f", {len(each) - 2} more" if len(each) > 2 else "")
            lines.append([row["title"], str(len(sizes)), f"{sum(one['pss'] for one in sizes):.1f}", shown])
    columns = ["row", "processes", "PSS of all", "RSS / PSS of each"]
    return Table("Memory of the service after load, MiB", columns, lines, "Where there is a master, it is the first.")


def head(result: dict[str, Any]) -> Table:
    lines = [
        [
            one["size"],
            one["stage"],
            f"{one['bytes']:,.0f}",
            spread(one["ns"], one["ns_min"], one["ns_max"]),
            f"{one['instructions']:,.0f}" if "instructions" in one else "–",
        ]
        for one in result["head"]
    ]
    columns = ["head", "stage", "bytes", "ns a head", "instructions a head"]
    note = (
        f"Each stage holds those before it; `answer` is all that a worker does for a head. {result['run']['cflags']}."
    )
    return Table("From head to verdict, in C", columns, lines, note)


def sidecar(result: dict[str, Any]) -> Table:
    lines = []
    if counted := result["sidecar"]:
        times = (counted[key] for key in ("mean_us", "p50_under_us", "p99_under_us"))
        lines = [[f"{counted['answers']:,.0f}", *(f"{time:.2f}" for time in times)]]
    columns = ["answers", "mean µs", "p50 under µs", "p99 under µs"]
    title = "From head to verdict, as the running sidecar counted it"
    return Table(title, columns, lines, "p50 and p99 are edges of its histogram, powers of two.")


def provenance(result: dict[str, Any]) -> str:
    machine, commit = result["machine"], result["commit"] or "no commit"
    dirty = f" with {result['changed_files']} changed files" if result["changed_files"] else ""
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items() if value)
    return (
        f"{result['date']}, commit {commit[:12]}{dirty}; {machine['cores']} × {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, load average before it "
        f"{machine['load_before']:.2f}; {versions}."
    )


def tables(result: dict[str, Any]) -> list[Table]:
    """Every table that the result has lines for."""
    parts = (through_nginx, against_each_other, verdicts, memory, sidecar, head)
    return [table for part in parts if (table := part(result)).rows]


def print_tables(result: dict[str, Any], console: Console) -> None:
    for table in tables(result):
        drawn = RichTable(*table.columns, title=table.title, caption=table.note or None, title_justify="left",
                          caption_justify="left")  # fmt: skip
        for line in table.rows:
            drawn.add_row(*line)
        console.print(drawn)
    console.print(provenance(result), style="dim")


def markdown(result: dict[str, Any]) -> str:
    parts = [provenance(result)]
    for table in tables(result):
        aligned = ["---"] + ["---:"] * (len(table.columns) - 1)
        lines = ["| " + " | ".join(cells) + " |" for cells in (table.columns, aligned, *table.rows)]
        parts += [f"**{table.title}**", "\n".join(lines)] + ([table.note] if table.note else [])
    return "\n\n".join(parts)


def around_tables(document: Path) -> tuple[str, str]:
    """What stands before and after the two marks of a document. ValueError where it has none."""
    text = document.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{document}: no place for the tables ({BEGIN} and {END})")
    return text.split(BEGIN)[0], text.split(END)[-1]


def update(document: Path, result: dict[str, Any]) -> None:
    """Puts the tables between the two marks of a document."""
    before, after = around_tables(document)
    document.write_text(f"{before}{BEGIN}\n{markdown(result)}\n{END}{after}", encoding="utf-8")
