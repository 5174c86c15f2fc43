"""A real server in a process of its own: many requests at once, slow ones, Ctrl-C."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

pytest.importorskip("uvicorn", reason="needs the extra `serve`")

COUNT = 200


@pytest.fixture
def server(tmp_path):
    """A process of `xbind serve`, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "xbind.cli.main_serve_test", str(tmp_path / "server")]
        if False else
        [sys.executable, "-P", "-c", "from xbind.cli.main import main; main()", "serve", "--port",
         "0", "--device", "cpu", "--out", str(tmp_path / "server"), "--max-queued", "500",
         "--quota", "40"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    line = process.stdout.readline()
    assert line.startswith("Serving http://127.0.0.1:"), line
    yield process, line.split()[1]
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


async def at_once(requests):
    return await asyncio.gather(*requests)
