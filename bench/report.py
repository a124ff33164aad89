"""The result of a run as tables: on the terminal, and as markdown for docs/benchmarks.md.

Law: both come from the same `tables`, which reads nothing but the JSON of a run; no figure is ever typed by
hand.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# Requests/s of the first over the second: at least the third.
RATIOS = (
    ("module_shipped", "unguarded", 0.90),
    ("module_alone", "lua", 1.2),
    ("module_alone", "njs", None),
    ("module_alone", "unguarded", None),
    ("module", "unguarded", None),
    ("module", "xbot", None),
    ("lua", "unguarded", None),
    ("xbot", "static", 0.95),
    ("xbot", "hackathon", 60.0),
    ("xbot", "modsecurity", 20.0),
    ("xbot", "fastapi", None),
    ("xbot", "lua", None),
    ("xbot", "unguarded", None),
    ("unguarded", "hackathon", None),  # what no service can exceed
)
# What the first adds to the latency of the second.
ADDED = (("module_shipped", "unguarded"), ("lua", "unguarded"), ("xbot", "unguarded"), ("xbot", "static"))


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


def spread_of(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """How many times the one row's rate is the other's in the same round, how many times less CPU a request takes (nginx
    and service together), and how many times less the service alone takes: median, min and max over the rounds."""

    def rate(one: dict[str, float]) -> float:
        return one["requests_per_second"]

    def thrift(one: dict[str, float]) -> float:
        return 1 / (one["nginx_us"] + one["service_us"])

    def service(one: dict[str, float]) -> float:
        return 1 / one["service_us"] if one["service_us"] else math.nan

    found = []
    for upper, lower, wanted in RATIOS:
        if upper in rows and lower in rows:
            pairs = list(zip(rows[upper]["rounds"], rows[lower]["rounds"], strict=True))
            figures = {
                name: spread_of(values)
                for name, figure in (("rate", rate), ("cpu", thrift), ("service", service))
                if not any(map(math.isnan, values := [figure(a) / figure(b) for a, b in pairs]))
            }
            found.append({"row": upper, "over": lower, "wanted": wanted, **figures})
    return found


def spread(median: float, low: float, high: float, digits: int = 0) -> str:
    return f"{median:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def shown(one: Mapping[str, float], digits: int = 0, scale: float = 1.0) -> str:
    return spread(scale * one["median"], scale * one["min"], scale * one["max"], digits)


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
            *(shown(one[kind], 2) if kind in one else "–" for kind in ("rate", "cpu", "service")),
            f"{one['wanted']:g}" if one["wanted"] else "–",
        ]
        for one in result["ratios"]
    ]
    title = "Rows against each other, within each round"
    columns = ["ratio", "requests/s", "requests per CPU second", "the service alone, CPU", "wanted, of requests/s"]
    return Table(title, columns, lines)


def verdicts(result: dict[str, Any]) -> Table:
    lines = [
        [row["title"], ", ".join(f"{n} × {told}" for told, n in row["told"].items())] for row in result["rows"].values()
    ]
    models = [(row["title"], row["model"]) for row in result["rows"].values() if row["model"]]
    note = " ".join(
        f"{title}: accuracy {about['accuracy']:.4f} on {about['held_out']:,} held-out rows of {result['run']['log']}, "
        f"{about['columns']} columns, {about['known_hosts']:,} known hosts"
        + (f", {about['support_vectors']:,} support vectors." if "support_vectors" in about else ".")
        for title, about in models
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
        for one in result["parts"].get("head", [])
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


def open_loop(result: dict[str, Any]) -> Table:
    found = result["open"]
    lines = []
    for name, one in found.items():
        rates = [latency["rate"] for latency in one["rounds"]]
        limits = [f"{rate:,.0f}" if rate else "none" for rate in one["highest"].values()]
        percentiles = [shown(values, 2, 1 / 1000) for values in one["spread"].values()]
        lines.append([result["rows"][name]["title"], f"{statistics.median(rates):,.0f}", *percentiles, *limits])
    for upper, base in ADDED:
        if upper in found and base in found:
            pairs = list(zip(found[upper]["rounds"], found[base]["rounds"], strict=True))
            names = found[upper]["spread"]
            added = [
                shown(spread_of([a["percentiles"][name] - b["percentiles"][name] for a, b in pairs]), 2, 1 / 1000)
                for name in names
            ]
            lines.append([f"{upper} less {base}, within each round", "", *added, "", ""])
    columns = ["row", "requests/s", *(f"{name}, ms" for name in ("p50", "p90", "p99", "p99.9"))]
    columns += ["highest rate, p99 < 1 ms", "p99 < 100 ms"]
    note = (
        "Constant rate by h2load, one browser's head, corrected for coordinated omission. The highest rates are steps of what "
        "the row carried at full load, from a twentieth up, each sent once."
    )
    return Table("Open loop: latency at a constant 1,000 requests a second", columns, lines, note)


def socket_alone(result: dict[str, Any]) -> Table:
    lines = []
    for generator, found in result["parts"].get("socket", {}).items():
        for name, one in found["services"].items():
            figures = [
                spread(*(one[which][key] for which in ("median", "min", "max")), digits)
                for key, digits in (("requests_per_second", 0), ("service_us", 2))
            ]
            lines.append([f"{name}, {generator}", *figures, f"{one['median']['busy']:.0%}"])
        ratio = found["ratio"]
        lines.append([f"xbot over static, {generator}", shown(ratio["rate"], 2), shown(ratio["cpu"], 2), ""])
    columns = ["service", "requests/s", "CPU µs a request", "core busy"]
    note = "Wanted of xbot over static: 0.7 of requests/s. In the ratio's line CPU is how many times less xbot takes."
    return Table("The socket alone, without the nginx that asks", columns, lines, note)


def _variants(part: Mapping[str, Any], columns: list[str], title: str, note: str = "") -> Table:
    lines = []
    for one in part.values():
        rate, nginx, service = (
            spread(*(one[which][key] for which in ("median", "min", "max")), digits)
            for key, digits in (("requests_per_second", 0), ("nginx_us", 1), ("service_us", 1))
        )
        failed = f"{one['failed']:,} FAILED" if one["failed"] else ""
        lines.append([f"{one['title']} {failed}".strip(), rate, shown(one["rate"], 2), nginx, service])
    return Table(title, [*columns, "nginx µs/request", "service µs/request"], lines, note)


def settings(result: dict[str, Any]) -> Table:
    columns = ["setting", "requests/s", "over as shipped"]
    return _variants(result["parts"].get("settings", {}), columns, "What settings of nginx change")


def over_https(result: dict[str, Any]) -> Table:
    columns = ["row", "requests/s", "over no handshake told"]
    note = "Connections stay open: the first request of each tells the handshake, and making the connections is no part of it."
    return _variants(result["parts"].get("https", {}), columns, "Over https", note)


def hop(result: dict[str, Any]) -> Table:
    def listed(calls: Mapping[str, float]) -> str:
        return ", ".join(f"{count:.2f} {name}" for name, count in calls.items()) or "–"

    def times(shares: Mapping[str, float]) -> str:
        return ", ".join(f"{share:.0%} {name.split('.')[0]}" for name, share in shares.items()) or "–"

    lines = [
        [
            one["title"],
            listed(one["nginx"]),
            times(one["shares"]),
            listed(one["service"]),
            times(one["service_shares"]),
        ]
        for one in result["parts"].get("hop", {}).values()
    ]
    columns = [
        "row",
        "nginx: system calls a request",
        "where its time goes",
        "the service: calls",
        "where its time goes",
    ]
    return Table("A request in nginx", columns, lines, "Calls by strace -c, shares by perf's clock.")


def linear(result: dict[str, Any]) -> Table:
    """Instructions against bytes, of all that a worker does for a head."""
    counted = [
        one
        for one in result["parts"].get("head", [])
        if one["stage"] == "answer"
        and "instructions" in one
        and "," not in one["size"]  # "https, first" has its like alone
    ]
    lines = []
    for before, one in itertools.pairwise(counted):
        slope = (one["instructions"] - before["instructions"]) / (one["bytes"] - before["bytes"])
        lines.append([f"{before['bytes']:,.0f} to {one['bytes']:,.0f}", f"{slope:.1f}"])
    return Table("Instructions that each further byte costs", ["bytes of the head", "instructions a byte"], lines)


def batch(result: dict[str, Any]) -> Table:
    lines = []
    for name, one in result["parts"].get("api", {}).items():
        rate = spread(*(one[which]["lines_per_second"] for which in ("median", "min", "max")))
        lines.append([name, rate])
    note = "One core, one thread; lines of the training log. The others' input is the matrix that xbot made of them."
    return Table("Python API: lines a CPU second", ["way", "lines a second"], lines, note)


def life(result: dict[str, Any]) -> Table:
    lines = []
    if one := result["parts"].get("life"):
        lines = [
            ["start: from the command to the first verdict, ms", shown(one["start_ms"])],
            ["reload: from SIGHUP to the first verdict by the new model, ms", shown(one["reload_ms"], 1)],
            *(
                [f"memory of the {who}, MiB: RSS / PSS", f"{size['rss']:.1f} / {size['pss']:.1f}"]
                for who, size in zip(("master", "worker"), one["memory"], strict=False)
            ),
        ]
        for scaled in one["scaling"]:
            rate = spread(*(scaled[which]["requests_per_second"] for which in ("median", "min", "max")))
            cpu, least = scaled["median"]["service_us"], scaled["median"]["least_share"]
            told = f"{rate} requests/s, {cpu:.2f} CPU µs a request, least busy worker {least:.0%} of the work"
            lines.append([f"socket alone, workers = cores = threads of h2load = {scaled['workers']}", told])
    return Table("The sidecar's life", ["what", "median (lowest–highest)"], lines)


def provenance(result: dict[str, Any]) -> str:
    machine, commit = result["machine"], result["commit"] or "no commit"
    dirty = f" with {result['changed_files']} changed files" if result["changed_files"] else ""
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items() if value)
    return (
        f"{result['date']}, commit {commit[:12]}{dirty}; {machine['cores']} × {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, load average before it "
        f"{machine['load_before']:.2f}; {versions}. The run took {result['run']['took'] / 60:.1f} minutes."
    )


def tables(result: dict[str, Any]) -> list[Table]:
    """Every table that the result has lines for."""
    parts = (
        through_nginx,
        against_each_other,
        open_loop,
        socket_alone,
        hop,
        settings,
        over_https,
        verdicts,
        memory,
        life,
        sidecar,
        head,
        linear,
        batch,
    )
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
    chart = f"![Requests a second of each row, and latency at a constant rate]({document.with_suffix('.svg').name})\n\n"
    text = f"{before}{BEGIN}\n{chart if result['rows'] else ''}{markdown(result)}\n{END}{after}"
    document.write_text(text, encoding="utf-8")
