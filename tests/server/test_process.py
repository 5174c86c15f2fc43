"""`xbind serve` as a process: many requests at once, odd clients, its end, and what it imports."""

import asyncio
import io
import json
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from PIL import Image

from tests.support.served_process import MAIN, ServedProcess

UPLOADS, LISTS, STREAMS = 100, 50, 50


def picture(k):
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (k, 60, 30)).save(buffer, "PNG")
    return buffer.getvalue()


async def upload(client, k):
    answer = await client.post("/api/jobs", files={"image": ("a.png", picture(k))})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def listed(client):
    answer = await client.get("/api/jobs")
    assert answer.status_code == 200
    return len(answer.json()["jobs"])


async def first_event(client, id):
    async with client.stream("GET", f"/api/jobs/{id}/events") as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))["id"]
    return None


async def all_at_once(address):
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=120) as client:
        known = await upload(client, 255)
        ids, counts, streamed = await asyncio.gather(
            asyncio.gather(*(upload(client, k) for k in range(UPLOADS))),
            asyncio.gather(*(listed(client) for _ in range(LISTS))),
            asyncio.gather(*(first_event(client, known) for _ in range(STREAMS))),
        )
        return known, ids, counts, streamed, await listed(client)


def ask(port, request):
    """The first line of the answer to a raw request; the connection must end by itself."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer.partition(b"\r\n")[0]


@pytest.mark.slow
def test_two_hundred_requests_at_once_and_odd_clients(tmp_path):
    with ServedProcess(tmp_path, "--quota", "40", waiting=True) as server:
        known, ids, counts, streamed, count = asyncio.run(all_at_once(server.address))
        assert len(set(ids)) == UPLOADS
        assert count == UPLOADS + 1
        assert all(1 <= each <= count for each in counts)
        assert set(streamed) == {known}
        host = b"Host: 127.0.0.1\r\n"
        claim = b"POST /api/jobs HTTP/1.1\r\n" + host + b"Content-Length: 10737418240\r\n\r\n"
        assert ask(server.port, claim).split()[1] == b"413"
        assert ask(server.port, b"GET / HTTP/1.1\r\n\r\n").split()[1] in (b"400", b"421")
        assert ask(server.port, b"\x16\x03\x01\x00garbage\r\n\r\n").split()[1] == b"400"
        with socket.create_connection(("127.0.0.1", server.port)) as slow:  # sends no body
            slow.sendall(b"POST /api/jobs HTTP/1.1\r\n" + host + b"Content-Length: 9\r\n\r\n")
            assert httpx2.get(f"{server.address}/api/info", timeout=30).status_code == 200
        with httpx2.stream("GET", f"{server.address}/api/jobs/{known}/events", timeout=30) as open_:
            assert open_.status_code == 200
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(20) == 130
        assert "Traceback" not in (errors := server.process.stderr.read()), errors
    with ServedProcess(tmp_path, waiting=True) as again:
        jobs = httpx2.get(f"{again.address}/api/jobs", timeout=30).json()["jobs"]
        assert {job["id"] for job in jobs} == {known, *ids}


@pytest.mark.slow
def test_refusals_at_the_start(tmp_path):
    def refused(*words):
        found = subprocess.run(
            [sys.executable, "-P", "-c", MAIN, "serve", "--out", str(tmp_path / "x"), "--device",
             "cpu", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in found.stderr
        return found.returncode, found.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, told = refused("--port", str(taken.getsockname()[1]))
    assert status == 1
    assert "Give another --port" in told
    (tmp_path / "token").write_text("short\n")
    status, told = refused("--port", "0", "--token-file", str(tmp_path / "token"))
    assert status == 1
    assert "at least 16" in told
    status, told = refused("--port", "0", "--bundle", "nope")
    assert status == 1
    assert "nope" in told


def test_the_command_line_imports_no_server():
    program = (
        "import sys, xbind.cli.main\n"
        "names = {'fastapi', 'starlette', 'uvicorn', 'pydantic', 'multipart', 'torch'}\n"
        "print(names & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"
