"""A real Ray cluster of several nodes on this machine; `make ray` installs Ray and runs this."""

import importlib.util
import os
import secrets

import pytest

from tests.batch.processes import (
    Made,
    batch,
    children,
    finish,
    kill,
    listeners,
    seeds_in_summary,
    wait_until,
)

pytestmark = [
    # Ray reads its environment when it is imported: that has to wait for the fixture
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: make ray"
    ),
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's own warnings
]

MEMORY = 80 * 2**20
"""Of each node's object store, in bytes: the least that Ray accepts is 75 MiB."""
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no jobs, and two nodes with one core each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # addresses stay on loopback
        from ray.cluster_utils import Cluster

        options = {"node_ip_address": "127.0.0.1", "object_store_memory": MEMORY}
        found = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False} | options,
        )
        for _ in range(2):
            found.add_node(num_cpus=1, **options)
        yield found
        found.shutdown()


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


def actors(cluster):
    return [
        pid
        for node in cluster.worker_nodes
        for pid, line in children(raylet(node)).items()
        if "RemoteWorker" in line
    ]


def test_worker_driver_and_node_killed(cluster, tmp_path):
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("a red mug\n")
    words = ("--seeds", "0..2", "--ray", cluster.address)
    log, made = out.with_suffix(".log"), Made(out)

    driver = batch(listed, out, *words)
    wait_until(lambda: list(out.glob("work/*/checkpoints/*.pt")))
    assert listeners(driver.pid) <= LOOPBACK
    [victim, *_] = actors(cluster)
    assert kill(victim)
    wait_until(lambda: "its worker died" in log.read_text())
    wait_until(made.look)
    assert kill(driver.pid)
    driver.wait()

    driver = batch(listed, out, *words)
    wait_until(lambda: actors(cluster))
    assert kill(raylet(cluster.worker_nodes.copy().pop()))
    assert finish(driver) == 0
    assert len(made.look()) == 3
    assert seeds_in_summary(out) == [("0", "done"), ("1", "done"), ("2", "done")]
    assert not any(out.glob("work/*"))


def test_another_token_is_refused(cluster, tmp_path):
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("a red mug\n")
    driver = batch(listed, out, "--ray", cluster.address, RAY_AUTH_TOKEN=secrets.token_hex(16))
    assert finish(driver, 120) == 1
    assert (
        f"The Ray cluster at {cluster.address} cannot be used"
        in out.with_suffix(".log").read_text()
    )


def test_nothing_listens_there(tmp_path):
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("a red mug\n")
    driver = batch(listed, out, "--ray", "127.0.0.1:1")
    assert finish(driver, 60) == 1
    text = out.with_suffix(".log").read_text()
    assert "The Ray cluster at 127.0.0.1:1 cannot be used: Connection refused" in text
    assert os.environ.get("RAY_AUTH_MODE") in (None, "token")
