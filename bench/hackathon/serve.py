"""One of the hackathon's sixteen processes: `serve.py MODEL LISTENING_FD` answers 204 (human) or 403 (bot).

Law: the question is `/?ip=&user_agent=&referer=`. nginx cannot URL-encode a header into a query, so what the
query does not hold is taken from the three headers of bench/nginx/hackathon_server.conf; that spares this
service the decoding.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import sys
from pathlib import Path
from typing import Any

from features import features
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler


class Judge(RequestHandler):
    def initialize(self, model: dict[str, Any]) -> None:
        self.model = model

    def get(self) -> None:
        header = self.request.headers.get
        question = (
            self.get_query_argument("ip", None) or header("X-Real-IP", ""),
            self.get_query_argument("user_agent", None) or header("User-Agent", ""),
            self.get_query_argument("referer", None) or header("Referer", ""),
        )
        is_bot = self.model["pipeline"].predict([features(question, self.model["known_hosts"])])[0]
        self.set_status(403 if is_bot else 204)


async def main(model: Path, listening_fd: int) -> None:
    application = Application([("/", Judge, {"model": pickle.loads(model.read_bytes())})], log_function=lambda _: None)
    HTTPServer(application).add_socket(socket.socket(fileno=listening_fd))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
