"""A folder served as S3 serves its buckets: listing, and reading by ranges; enough for a reader."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MOMENT = "Thu, 01 Jan 2026 00:00:00 GMT"


@contextmanager
def serving(root: Path) -> Iterator[dict[str, str]]:
    """Serve the folders of a folder as buckets; yields the environment that leads there."""

    class Handler(_S3):
        folder = root

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
        server.shutdown()


class _S3(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = parse_qs(url.query, keep_blank_values=True)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        file = self.folder / bucket / key
        if "list-type" in asked:
            self._answer(200, self._list(bucket, asked["prefix"][0] if "prefix" in asked else ""))
        elif not key:
            self._answer(200, b"")
        elif not file.is_file():
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send_part(file.read_bytes())

    do_HEAD = do_GET  # noqa: N815 -- as http.server calls it

    def _list(self, bucket: str, prefix: str) -> bytes:
        root = self.folder / bucket
        found = {file.relative_to(root).as_posix(): file for file in sorted(root.rglob("*"))}
        entries = [
            f"<Contents><Key>{escape(name)}</Key><Size>{file.stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name, file in found.items()
            if file.is_file() and name.startswith(prefix)
        ]
        count = f"<KeyCount>{len(entries)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{count}{''.join(entries)}</ListBucketResult>".encode()

    def _send_part(self, body: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, body)
            return
        size = len(body)
        first, last = asked.groups()
        begin = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
        self._answer(206, body[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{size}"})

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), "ETag": '"1"', "Last-Modified": MOMENT}
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
