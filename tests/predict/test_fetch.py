"""Weights by path, address or hub name: downloaded once, gone on with, checked; refused with words."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from secondlook.errors import BadValue, MissingFile
from secondlook.predict.fetch import _file_name, _url_and_sum, fetch

CONTENT = bytes(range(256)) * 9000
SUM = hashlib.sha256(CONTENT).hexdigest()


class Server:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.cut_after: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.asked.append((self.path, wanted))
                if "missing" in self.path:
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                if start >= len(CONTENT):
                    self.send_error(416)
                    return
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(CONTENT) - start))
                self.end_headers()
                self.wfile.write(CONTENT[start : outer.cut_after])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_path_is_itself(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x")
    assert fetch(tmp_path / "w.pth") == tmp_path / "w.pth"
    with pytest.raises(MissingFile, match="hf:owner/name/file"):
        fetch(tmp_path / "none.pth")


def test_fetched_once_and_checked_each_time(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch(f"{server.url}/a/w.pth", tmp_path, lambda have, total: told.append((have, total)))
    assert path.read_bytes() == CONTENT
    assert path.name == "w.pth"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(f"{server.url}/a/w.pth", tmp_path) == path
    assert len(server.asked) == 1
    path.write_bytes(b"changed")
    with pytest.raises(BadValue, match="damaged or another one"):
        fetch(f"{server.url}/a/w.pth", tmp_path)


def test_another_address_is_another_file(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/a/w.pth", tmp_path) != fetch(f"{server.url}/b/w.pth", tmp_path)


def test_goes_on_after_an_interruption(server: Server, tmp_path: Path) -> None:
    server.cut_after = 1_500_000
    with pytest.raises(BadValue, match=r"fetched \(.*goes on there"):
        fetch(f"{server.url}/w.pth", tmp_path)
    server.cut_after = None
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT
    assert server.asked[1][1] == "bytes=1500000-"


def test_a_whole_part_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    path = fetch(f"{server.url}/w.pth", tmp_path)
    path.replace(path.with_name("w.pth.part"))
    path.with_name("w.pth.json").unlink()
    assert fetch(f"{server.url}/w.pth", tmp_path).read_bytes() == CONTENT


def test_sums(server: Server, tmp_path: Path) -> None:
    assert fetch(f"{server.url}/w.pth#sha256={SUM}", tmp_path / "a").read_bytes() == CONTENT
    assert fetch(f"{server.url}/w-{SUM[:8]}.pth", tmp_path / "a").is_file()
    for address in (f"w.pth#sha256={'0' * 64}", "w-0badf00d.pth"):
        with pytest.raises(BadValue, match="was expected"):
            fetch(f"{server.url}/{address}", tmp_path / "b")
        assert not list((tmp_path / "b").rglob("*.p*")), "a wrong file is not kept"
    with pytest.raises(BadValue, match="64 hexadecimal digits"):
        fetch(f"{server.url}/w.pth#md5=3", tmp_path)


def test_no_network_says_how_by_hand(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"server says 404.+curl -L -o missing.pth"):
        fetch(f"{server.url}/missing.pth", tmp_path)
    with pytest.raises(BadValue, match=r"could not be fetched.+curl -L -o w.pth"):
        fetch("http://127.0.0.1:9/w.pth", tmp_path)


def test_hub_names() -> None:
    assert _url_and_sum("hf:MCG-NJU/videomae-base/model.safetensors") == (
        "https://huggingface.co/MCG-NJU/videomae-base/resolve/main/model.safetensors",
        "",
    )
    assert _url_and_sum("hf:a/b@v1.0/sub/w.pth")[0] == "https://huggingface.co/a/b/resolve/v1.0/sub/w.pth"
    for wrong in ("hf:model.pth", "hf:a/b", "hf:a/../../etc/w.pth", "hf:a/b/c d"):
        with pytest.raises(BadValue, match="hf:owner/name/file"):
            fetch(wrong)
    with pytest.raises(BadValue, match="https only"):
        fetch("http://example.org/w.pth")


@pytest.mark.parametrize("url", ["https://h/..%2f..%2fetc", "https://h/.hidden", "https://h/", "https://h/a%00b"])
def test_a_name_stays_in_its_folder(url: str) -> None:
    name = _file_name(url)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
