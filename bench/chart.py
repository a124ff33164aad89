"""One chart of a run, as SVG: requests a second of each row, and the latency that is added at a constant rate.

Law: it reads nothing but the JSON of a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {
    "unguarded": "#888888",
    "static": "#4477aa",
    "module_shipped": "#aa4400",
    "module": "#ee7733",
    "module_alone": "#ffaa77",
    "xbot": "#cc3311",
    "lua": "#228833",
    "njs": "#99cc88",
    "fastapi": "#ccbb44",
    "modsecurity": "#66ccee",
    "hackathon": "#aa3377",
}
OTHER = "#bbbbbb"


def draw(result: dict[str, Any], path: Path) -> None:
    """Writes the chart; nothing where no row was measured."""
    if not result["rows"]:
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained", width_ratios=(1, 1))
    rates(left, result)
    latencies(right, result)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def rates(axes: Any, result: dict[str, Any]) -> None:
    rows = list(result["rows"].items())[::-1]
    for y, (name, row) in enumerate(rows):
        value = row["median"]["requests_per_second"]
        low, high = value - row["min"]["requests_per_second"], row["max"]["requests_per_second"] - value
        axes.barh(y, value, xerr=[[low], [high]], color=COLOURS.get(name, OTHER), ecolor="#555555")
        axes.text(row["max"]["requests_per_second"], y, f"  {value:,.0f}", va="center")
    axes.set_yticks(range(len(rows)), [row["title"] for _, row in rows])
    axes.set_xlabel("requests a second on one core, nginx and the service together")
    axes.set_xlim(right=1.15 * max(row["max"]["requests_per_second"] for _, row in rows))
    axes.spines[["top", "right"]].set_visible(False)


def latencies(axes: Any, result: dict[str, Any]) -> None:
    """The curve of the round whose p99 is the middle one. A row that does not carry the rate has only a queue to show."""
    for name, found in result["open"].items():
        ordered = sorted(found["rounds"], key=lambda one: one["percentiles"]["p99"])
        middle = ordered[len(ordered) // 2]
        if middle["rate"] < 0.9 * middle["wanted_rate"]:
            continue
        curve = middle["curve"]
        axes.plot(
            [1 / (1 - percent / 100) for percent, _ in curve],
            [value / 1000 for _, value in curve],
            label=result["rows"][name]["title"],
            color=COLOURS.get(name, OTHER),
            linewidth=2.5 if name == "xbot" else 1.5,
        )
    ticks = (50, 90, 99, 99.9, 99.99)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1 / (1 - tick / 100) for tick in ticks], [f"{tick:g}%" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("percentile, at a constant 1,000 requests a second")
    axes.set_ylabel("milliseconds")
    if result["open"]:
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
