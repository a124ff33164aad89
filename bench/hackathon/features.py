"""What the hackathon's service knew about a request: address, referrer and agent.

Law: `features` is the whole of it, for training and for serving. The agent is taken apart by woothee, the
referrer by urllib; categories stay words here (DictVectorizer gives each its column).
"""

from __future__ import annotations

from urllib.parse import urlsplit

import woothee

Question = tuple[str, str, str]  # address (four parts), user agent, referrer; decoded


def features(question: Question, known_hosts: frozenset[str]) -> dict[str, str | float]:
    """Raises ValueError for an address that has not four numbers."""
    address, user_agent, referrer = question
    part_1, part_2, part_3, part_4 = map(int, address.split("."))
    url = urlsplit(referrer)
    agent = woothee.parse(user_agent)
    return {
        "ip_1": part_1,
        "ip_2": part_2,
        "ip_3": part_3,
        "ip_4": part_4,
        "scheme": url.scheme,
        "referrer_length": len(referrer),
        "path_length": len(url.path),
        "query_length": len(url.query),
        "host_dots": url.netloc.count("."),
        "host_known": url.netloc in known_hosts,
        "browser": agent["name"],
        "os": agent["os"],
        "vendor": agent["vendor"],
        "category": agent["category"],
        "version_known": agent["version"] != "UNKNOWN",
        "agent_empty": not user_agent,
        "referrer_empty": not referrer,
    }


def known_hosts() -> frozenset[str]:
    """The list of a million sites: Tranco's, as a package has it."""
    from pymispwarninglists import WarningLists  # here: serving needs the list alone

    lists = WarningLists().warninglists
    return frozenset(lists["Top 1,000,000 most-used sites from Tranco"].list)
