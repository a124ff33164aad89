"""Prints docs/features.md from the compiled feature table: `make docs` writes it, a test holds it current."""

from __future__ import annotations

import sys

from sidecar import core

GROUPS = {
    "ip": "The visitor's address. A model that is given to others has no weight for it; a site's own may.",
    "ua": "The User-Agent.",
    "referrer": "The Referer, and the site's own host where it is known.",
    "url": "Method, path, query and protocol of the request.",
    "headers": "The visitor's other headers. Some rows need all of them in their order, which only a capture or the "
    "sidecar itself has; in a log of chosen headers these rows are absent.",
    "tls": "The TLS handshake, where the proxy sends it (docs/formats.md has the forms). It depends on the program that the visitor "
    "runs. Absent over plain http and where another proxy ended TLS. An unknown program contradicts nothing: an `odd_tls_` row "
    "fires for a mark that only another program has, or, for recent Chromium and Safari, where GREASE is missing. These rows "
    "count against people whose connection is intercepted: an antivirus that inspects TLS, or a company's proxy, makes its own "
    "handshake, so each of its users contradicts the agent, on every request. Allow the networks of such a company, or "
    "train without these rows (`xbot train --without odd_tls_chrome`, ...). A WebKitGTK browser on Linux names Safari and uses "
    "GnuTLS: that is no contradiction, and `tls_webkitgtk` marks it.",
    "client": "What the client (an address with an agent), its network and all who look exactly like it did before this request, where the "
    "host has a table of clients. Absent without one, and without an address. Counts fade by half in six hours. Each row speaks "
    "only against agents that claim a browser. Rows on parts (styles, scripts, fonts, pictures) and cookies are absent until ten of the "
    "site's visitors loaded or brought some, and stay so where parts come from elsewhere. What each row costs a program to avoid "
    "differs: a cookie or a referrer costs a line, a part costs the site's bytes and a parser, a slower pace costs time, and a "
    "shape of one's own for each address costs looking like nobody else.",
}

HEAD = """\
# Features

Generated from `csrc/features/features.def` by `make docs`: edit that table, not this page. {dense} features and {families} families of
hashed words. A model file names each with its version, which is raised when its values change. A feature that a log does not hold is
absent: it adds nothing to the margin. `xbot explain --all` shows what each one adds to a request's margin; `xbot train --without
NAME` leaves out a group, a feature or a family.
"""


def table(title: str, rows: list[core.Row]) -> list[str]:
    """A Markdown table."""
    return [
        "",
        f"| {title} | version | what it is |",
        "|---|---|---|",
        *(f"| `{row.name}` | {row.version} | {row.doc.replace('|', '&#124;')} |" for row in rows),
    ]


def page() -> str:
    """The whole page."""
    lines = [HEAD.format(dense=len(core.FEATURES), families=len(core.FAMILIES))]
    for group, what in GROUPS.items():
        lines += [f"## {group}", "", what]
        lines += table("feature", [row for row in core.FEATURES if row.group == group])
        lines += table("hashed words", [row for row in core.FAMILIES if row.group == group])
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
