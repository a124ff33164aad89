"""What most would write today: `fastapi_serve.py MODEL SOCKET`, one `pipeline.predict` a request.

Law: straightforward and not slowed down: one process, uvicorn with uvloop and httptools, no access log, no thread hop
(the endpoint is async), a linear model, and an answer as xbot's own, so that nginx asks with the same files.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response

sys.path.insert(0, str(Path(__file__).parent / "hackathon"))
from features import features


def application(model: Path) -> FastAPI:
    loaded = pickle.loads(model.read_bytes())
    pipeline, known_hosts = loaded["pipeline"], loaded["known_hosts"]
    app = FastAPI()

    @app.get("/")
    async def judge(request: Request) -> Response:
        header = request.headers.get
        question = (header("x-real-ip", ""), header("user-agent", ""), header("referer", ""))
        is_bot = pipeline.predict([features(question, known_hosts)])[0]
        return Response(headers={"X-Bot": "bot" if is_bot else "human"})

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[1])),
        uds=sys.argv[2],
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
