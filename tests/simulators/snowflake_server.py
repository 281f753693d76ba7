"""Run by the Python that has fakesnow: Snowflake's protocol over DuckDB, on a port that it prints.

Two things that Snowflake does and fakesnow does not are added to what comes in: COPY INTO reads a
stage in the form that the stage was made with, and fills temporary tables (here: real ones).
"""

from __future__ import annotations

import gzip
import json
import re
import socket
from typing import Any

import uvicorn
from fakesnow.server import app

_PARQUET = " FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)"


def amended(sql: str) -> str:
    if sql.upper().startswith("COPY INTO") and "FILE_FORMAT" not in sql.upper():
        return sql + _PARQUET
    return re.sub(r"(?i)^create temporary table", "create table", sql)


async def whole(receive: Any) -> bytes:
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            return body


async def amending(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http" or not scope["path"].endswith("/query-request"):
        await app(scope, receive, send)
        return
    headers = dict(scope["headers"])
    is_zipped = headers.get(b"content-encoding") == b"gzip"
    body = await whole(receive)
    asked = json.loads(gzip.decompress(body) if is_zipped else body)
    asked["sqlText"] = amended(asked["sqlText"])
    body = json.dumps(asked).encode()
    body = gzip.compress(body) if is_zipped else body
    headers[b"content-length"] = str(len(body)).encode()
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return parts.pop() if parts else await receive()

    await app({**scope, "headers": list(headers.items())}, again, send)


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(amending, log_level="critical")).run(sockets=[listening])
