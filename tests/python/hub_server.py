"""A small Hugging Face Hub on loopback, with tiny stand-ins for the published checkpoints."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

PUBLISHED = "qiangchunyu/SecoustiCodec"


def tiny_config(ratios: tuple[int, int] = (1, 1)) -> Any:
    """A codec whose sizes follow from its tensors' shapes, as those of the published ones do."""
    from secousti_native.reference.config import CodecConfig, LayerCounts

    return CodecConfig(
        n_mels=20, n_filters=8, dimension=64, feedforward=48, layers=LayerCounts(1, 1, 1, 1), ratios=ratios
    )


def tiny_state(ratios: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    import torch

    from secousti_native.reference.codec import SecoustiCodec

    torch.manual_seed(ratios[0])
    state: dict[str, Any] = SecoustiCodec(tiny_config(ratios), 0.3).state_dict()
    return state


def tiny_hift() -> dict[str, Any]:
    import torch

    from secousti_native.reference.config import VocoderConfig
    from secousti_native.reference.hift import HiFT

    vocoder = VocoderConfig("hift", channels=16, f0_channels=10, f0_layers=2, resblock_dilations=(1, 3), harmonics=3)
    torch.manual_seed(7)
    state: dict[str, Any] = HiFT(tiny_config().replace(vocoder=vocoder), weight_norm=True).state_dict()
    return state


def saved(state: object) -> bytes:
    """What torch.save writes."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def published_files() -> dict[str, bytes]:
    return {
        "README.md": b"# stand-ins",
        "secousticodec_86_hz.pt": saved({"model": tiny_state()}),
        "secousticodec_21_5_hz.pt": saved(tiny_state((2, 2))),
        "hift.pt": saved(tiny_hift()),
    }


@dataclass
class Hub:
    """What the server holds and does. ``requests`` are those for models, as "METHOD path"."""

    files: dict[str, bytes]
    name: str = PUBLISHED
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    branches: tuple[str, ...] = ("main", "next")
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Beginnings of paths, each with a status and the Hub's name of the error."""
    sent: dict[str, bytes] = field(default_factory=dict)
    """Files that arrive otherwise than the listing promises."""
    cut: dict[str, list[int]] = field(default_factory=dict)
    """Bytes of a file after which each next answer to GET breaks off."""
    stall: threading.Event | None = None
    """Downloads stop in their middle until it is set."""
    stalled: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def listing(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "sha": self.commit,
            "siblings": [
                {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
                | ({"lfs": {"sha256": sha256(data), "size": len(data), "pointerSize": 130}} if is_large(name) else {})
                for name, data in self.files.items()
            ],
        }

    def tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
            | ({"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 130}} if is_large(name) else {})
            for name, data in self.files.items()
        ]


def is_large(name: str) -> bool:
    return not name.endswith(".md")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path, hub = unquote(urlsplit(self.path).path), self.hub
        if path.startswith("/api/models/") or "/resolve/" in path:
            hub.requests.append(f"{self.command} {path}")
        for beginning, (status, code) in hub.refuse.items():
            if path.startswith(beginning):
                return self.error(status, code)
        if path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if name == f"{hub.name}/tree/{hub.commit}":
                return self.send(json.dumps(hub.tree()).encode(), {"Content-Type": "application/json"}, with_body)
            if name != hub.name:
                return self.error(404, "RepoNotFound")
            if revision not in (*hub.branches, hub.commit, ""):
                return self.error(404, "RevisionNotFound")
            return self.send(json.dumps(hub.listing()).encode(), {"Content-Type": "application/json"}, with_body)
        if not path.startswith(f"/{hub.name}/resolve/"):
            return self.error(404, "RepoNotFound")
        revision, _, name = path.removeprefix(f"/{hub.name}/resolve/").partition("/")
        if revision not in (*hub.branches, hub.commit):
            return self.error(404, "RevisionNotFound")
        if name not in hub.files:
            return self.error(404, "EntryNotFound")
        data = hub.sent.get(name, hub.files[name])
        etag = sha256(hub.files[name]) if is_large(name) else blob_id(hub.files[name])
        self.send(data, {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit}, with_body, name)

    def send(self, data: bytes, headers: dict[str, str], with_body: bool, name: str = "") -> None:
        first = 0
        if with_body and (wanted := self.headers.get("Range")):
            first = int(wanted.removeprefix("bytes=").split("-")[0])
            headers = headers | {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
        self.send_response(206 if first else 200)
        for key, value in (headers | {"Content-Length": str(len(data) - first)}).items():
            self.send_header(key, value)
        self.end_headers()
        if not with_body:
            return
        if self.hub.cut.get(name):
            self.wfile.write(data[first : first + self.hub.cut[name].pop(0)])
            self.close_connection = True
            return
        if name and self.hub.stall is not None:
            self.wfile.write(data[first : len(data) // 2])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.stall.wait(60)
            first = len(data) // 2
        self.wfile.write(data[first:])

    def error(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no fault of the server."""


def serve(hub: Hub) -> Server:
    """Starts the server on a free port; ``hub.url`` says where. The caller shuts it down."""
    server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
