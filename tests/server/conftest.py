"""A server whose jobs end when a test says so, and a client for it."""

import time
from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi", reason="needs the extra `serve`")

from starlette.testclient import TestClient

from tests.support.fake_executor import FakeExecutor
from xbind.config.serve import ServeConfig
from xbind.server.app import make_app
from xbind.server.service import Service

ADDRESS = "http://127.0.0.1:8000"


class Served:
    """A running application with its executor."""

    def __init__(self, client, executor, service):
        self.client, self.executor, self.service = client, executor, service

    def submit(self, text="a red mug", **values):
        """The job for some words; one that is there already, too."""
        answer = self.client.post("/api/jobs", data={"text": text, **values})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def running(self, **values):
        """The id of a job that its executor has started."""
        id = self.submit(**values)["id"]
        self.until(lambda: id in self.executor.tasks)
        return id

    def state(self, id):
        return self.client.get(f"/api/jobs/{id}").json()["state"]

    def until_state(self, id, state):
        self.until(lambda: self.state(id) == state)

    @staticmethod
    def until(true, seconds=10):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.01)


@pytest.fixture
def serve(tmp_path):
    """Starts a server in the test's folder."""
    with ExitStack() as stack:

        def start(token=None, address=ADDRESS, **values):
            executor = FakeExecutor()
            service = Service(ServeConfig(out=tmp_path / "server", **values), executor)
            client = TestClient(make_app(service, token), base_url=address)
            return Served(stack.enter_context(client), executor, service)

        yield start


@pytest.fixture
def served(serve):
    return serve()
