"""Do the policies promise crawlers what they can keep, and does the site's robots.txt say the same?

Law: a word lets in only who is proven. Who can be is said by the catalogue and the configuration; robots.txt is read and compared in
verify/robots.py. Here it becomes findings.
"""

from __future__ import annotations

from importlib.util import find_spec

from sidecar.check.findings import Findings
from sidecar.config.plan import Plan
from sidecar.errors import XbotError
from sidecar.verify import catalogue, ranges, robots

ABOUT = "robots.txt"
_FEW = 0.25  # of a purpose's crawlers


def look_at_words(found: Findings, plan: Plan) -> None:
    """Adds, for each policy, whom it lets in who cannot prove it: crawlers by name, and purposes of which few can, with those who do."""
    known = {name: each for name, each in catalogue.load().crawlers.items() if each.sent}
    copies, _ = ranges.newest(plan.ranges)
    provable = {name for name, each in known.items() if _can_be_proven(plan, each, copies)}
    for policy, words in plan.crawlers.items():
        lost = []
        for word in (word for word, said in words.items() if said == "allow"):
            those = [word] if word in known else [name for name, each in known.items() if each.purpose == word]
            can = [name for name in those if name in provable]
            if len(can) <= _FEW * len(those):
                lost.append(f"{word} ({', '.join(can) or 'none'})")
        if lost:
            what = f"of those whom {policy} lets in, few or none can prove who they are: {', '.join(lost)}; others are judged by score"
            found.add("warning", "crawlers", what, "docs/verification.md: Who cannot prove it")


def _can_be_proven(plan: Plan, crawler: catalogue.Crawler, copies: dict[str, ranges.Copy]) -> bool:
    signed = plan.signatures.hosts and plan.ranges and crawler.signs
    return any(name in copies for name in crawler.ranges) or bool(plan.dns.look_up and crawler.dns) or bool(signed)


def look(found: Findings, plan: Plan, place: str) -> None:
    """Adds what does not agree."""
    if find_spec("protego") is None:
        found.add("skipped", ABOUT, "protego is not installed", "pip install 'xbot[verify]'")
        return
    try:
        served = robots.read(place)
    except XbotError as error:
        found.add_error(ABOUT, error)
        return
    wrong = robots.contradictions(served, *plan.words())
    for line in wrong:
        found.add("warning", ABOUT, f"{place}: {line}", "xbot robots prints one that agrees")
    if not wrong:
        found.add("ok", ABOUT, f"{place} says what the policies say")
