"""A spider of Scrapy over the recorded site: python spider.py plain|chrome obeys|burst|autothrottle (see record.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import scrapy
from crawl import CHROME
from scrapy.crawler import CrawlerProcess

BASE = os.environ["TRAFFIC_URL"]


class Spider(scrapy.Spider):
    name = "shop"
    start_urls = (BASE + "/",)

    def parse(self, response: Any) -> Iterator[Any]:
        """Follows the site's links, and nothing that is no page."""
        if "text/html" in response.headers.get("Content-Type", b"").decode():
            yield from response.follow_all(css="a")


def main() -> None:
    agent, way = sys.argv[1:]
    process = CrawlerProcess({
        "LOG_LEVEL": "ERROR", "CLOSESPIDER_PAGECOUNT": 45, "ROBOTSTXT_OBEY": way == "obeys", "ALLOWED_DOMAINS": ["localhost"],
        "CONCURRENT_REQUESTS_PER_DOMAIN": 1 if way == "obeys" else 8, "AUTOTHROTTLE_ENABLED": way == "autothrottle",
        "AUTOTHROTTLE_START_DELAY": 0.3, "DOWNLOAD_DELAY": 0, **({"USER_AGENT": CHROME} if agent == "chrome" else {}),
    })  # fmt: skip
    process.crawl(Spider)
    process.start()


if __name__ == "__main__":
    main()
