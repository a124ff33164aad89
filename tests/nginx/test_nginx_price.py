"""A price for crawlers that are denied: the recipe of docs/nginx.md, through the real nginx.

Law: it is cut out of the page.
"""

from __future__ import annotations

import re

import pytest
from nginx_harness import FILES, EchoSite, guarded, nginx_binary, running_nginx
from sidecar_harness import BROWSER, Sidecar

from sidecar.verify import ranges

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")


def recipe() -> str:
    page = (FILES.parent / "docs" / "nginx.md").read_text()
    found = re.search(r"## A price for crawlers\n(?:.*\n)*?\n((?:    .*\n)+)", page)
    assert found
    return found[1]


def test_who_is_proven_and_denied_is_told_a_price(tmp_path) -> None:
    (tmp_path / "xbot.toml").write_text('[policies.default]\nmode = "enforce"\nverified = { training = "deny" }\n')
    inside = str(ranges.newest(None)[0]["ccbot"].networks[0][0])
    model = FILES.parent / "sidecar" / "default.xbot"
    with Sidecar(model, "--config", tmp_path / "xbot.toml", workers=1) as sidecar, EchoSite() as site:
        body = "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;\n" + guarded(site, "enforce") + recipe()
        with running_nginx(body, socket=sidecar.address) as nginx:

            def visit(agent: str, ip: str):
                return nginx.ask(headers={**BROWSER, "User-Agent": agent, "X-Forwarded-For": ip})

            paying = visit("CCBot/2.0", inside)
            assert (paying.status, paying.headers["Crawler-Price"]) == (402, "USD 0.01")
            for agent, ip in (("CCBot/2.0", "8.8.8.8"), ("Bytespider", "8.8.8.8")):  # not proven
                other = visit(agent, ip)
                assert (other.status, other.headers["Crawler-Price"]) == (403, None)
            assert visit(BROWSER["User-Agent"], "8.8.8.8").status == 200
