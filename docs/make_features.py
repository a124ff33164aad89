"""Prints docs/features.md from the compiled feature table: `make docs` writes it, a test holds it current."""

from __future__ import annotations

import sys

from sidecar import core

GROUPS = {
    "ip": "The visitor's address. A model that is handed on gives it no weight; a site's own may.",
    "ua": "The User-Agent.",
    "referrer": "The Referer, and the site's own host where it is known.",
    "url": "Method, path, query and protocol of the request.",
    "headers": "The visitor's other headers. Some rows need all of them in their order, which only a capture or the "
    "sidecar itself has; a log of chosen headers leaves those absent.",
    "tls": "The TLS handshake, where the proxy tells it (docs/formats.md has the forms): what a visitor chose by choosing a "
    "program. Absent over plain http and where another proxy ended TLS. A program that nobody knows contradicts nothing: an "
    "`odd_tls_` row needs a mark that only another program has, or, of recent Chromium and Safari, that there is no GREASE. "
    "They cost the people whose connection somebody opens on the way: an antivirus that looks into TLS, or a company's "
    "proxy, makes a handshake of its own, so each of its users contradicts the browser that he names, on every request. Allow "
    "the networks of such a company, or train without these rows (`xbot train --without odd_tls_chrome`, ...). A WebKitGTK "
    "browser on Linux names Safari and stands on GnuTLS: that is no contradiction, and `tls_webkitgtk` says it.",
}

HEAD = """\
# Features

Made from `csrc/features/features.def` by `make docs`: edit that table, not this page. {dense} features and {families} families of
hashed words. A model file names each with its version, which is raised when its values change. What a log does not hold is
absent: it adds nothing to the margin. `xbot explain` shows what each one adds to a request's margin; `xbot train --without
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
