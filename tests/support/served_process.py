"""`xbind serve` in a process of its own; with `--waiting` its jobs wait for ever."""

import os
import subprocess
import sys
from pathlib import Path

WAITING = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent.parent.parent)!r})
import xbind.server.serve
from tests.support.fake_executor import FakeExecutor
xbind.server.serve.LocalExecutor = lambda *_, **__: FakeExecutor(workers=1)
"""
MAIN = "from xbind.cli.main import main; main()"


class ServedProcess:
    """Use as a context manager."""

    def __init__(self, out, *words, port=0, waiting=False):
        program = WAITING + MAIN if waiting else MAIN
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, "serve", "--out", str(out), "--port", str(port),
             "--device", "cpu", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        line = self.process.stdout.readline()
        if not line.startswith("Serving "):
            self.process.wait()
            raise AssertionError(line + self.process.stderr.read())
        self.address = line.split()[1].partition("#")[0].rstrip("/")
        self.port = int(self.address.rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
