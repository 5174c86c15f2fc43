"""Jobs through the HTTP interface: every route, and the states between them."""

import io
import json

import pytest
from PIL import Image

from tests.support.fake_executor import UNDERSTOOD


def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    return buffer.getvalue()


def events_of(text):
    """(name, data, id) of each server-sent event."""
    for block in text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines())
        if "event" in fields:
            yield fields["event"], json.loads(fields["data"]), fields.get("id")


def test_a_job_from_submission_to_files(served):
    job = served.submit(seed="3", preset="smoke")
    assert (job["label"], job["seed"], job["preset"]) == ("a red mug", 3, "smoke")
    assert job["state"] in ("queued", "running")
    id = job["id"]
    served.until(lambda: id in served.executor.tasks)
    served.executor.write_run(id, ["mesh.glb", "reference.png", "previews/coarse_00010.png"], 2)
    served.executor.progress(id, 10, 40)
    served.until(lambda: served.client.get(f"/api/jobs/{id}").json()["progress"] is not None)
    job = served.client.get(f"/api/jobs/{id}").json()
    assert job["progress"] == {"stage": "coarse", "step": 10, "steps": 40}
    assert job["understood"] == UNDERSTOOD
    served.executor.finish(id, ["a message"])
    served.until_state(id, "done")
    job = served.client.get(f"/api/jobs/{id}").json()
    assert (job["messages"], job["seconds"], job["progress"]) == (["a message"], 1.5, None)
    files = served.client.get(f"/api/jobs/{id}/files").json()["files"]
    assert [file["name"] for file in files] == [
        "reference.png", "mesh.glb", "config.json", "events.jsonl", "previews/coarse_00010.png"
    ]  # fmt: skip
    mesh = served.client.get(f"/api/jobs/{id}/files/mesh.glb", params={"download": True})
    assert mesh.content == b"content of mesh.glb"
    assert mesh.headers["content-type"] == "model/gltf-binary"
    assert mesh.headers["content-disposition"].startswith("attachment; filename=")
    piece = served.client.get(f"/api/jobs/{id}/files/mesh.glb", headers={"range": "bytes=0-6"})
    assert (piece.status_code, piece.content) == (206, b"content")


def test_the_same_prompt_is_one_job(served):
    first, second, other = served.submit(), served.submit(), served.submit(seed="1")
    assert first["id"] == second["id"] != other["id"]
    assert len(served.client.get("/api/jobs").json()["jobs"]) == 2


def test_a_reference_view_is_accepted_or_taken_again(served):
    id = served.running(review="true")
    assert served.executor.tasks[id].job.config.reference_only
    served.executor.write_run(id, ["reference.png"])
    served.executor.finish(id)
    served.until_state(id, "reference")
    again = served.client.post(f"/api/jobs/{id}/again", json={"seed": 5})
    assert again.status_code == 201
    other = again.json()
    assert (other["seed"], other["label"]) == (5, "a red mug")
    served.until(lambda: other["id"] in served.executor.tasks)
    assert served.executor.tasks[other["id"]].job.config.reference_only
    served.client.post(f"/api/jobs/{other['id']}/cancel")
    served.until_state(other["id"], "cancelled")
    assert served.client.post(f"/api/jobs/{id}/resume").status_code == 200
    served.until(lambda: id in served.executor.tasks)
    assert not served.executor.tasks[id].job.config.reference_only


def test_a_job_is_made_from_another_candidate(served):
    id = served.running(review="true")
    assert served.client.get(f"/api/jobs/{id}").json()["candidates"] == 0
    served.executor.write_run(id, ["reference.png", "references.png"])
    served.executor.finish(id)
    served.until_state(id, "reference")
    shown = served.client.get(f"/api/jobs/{id}").json()
    assert (shown["candidates"], shown["candidate"]) == (24, None)
    changes = {"seed": shown["seed"], "review": False, "candidate": 7}
    made = served.client.post(f"/api/jobs/{id}/again", json=changes).json()
    assert (made["candidate"], made["seed"]) == (7, shown["seed"])
    assert made["id"] != id
    served.until(lambda: made["id"] in served.executor.tasks)
    config = served.executor.tasks[made["id"]].job.config
    assert (config.candidate, config.reference_only) == (7, False)
    refused = served.client.post(f"/api/jobs/{id}/again", json=changes | {"candidate": 25})
    assert refused.status_code == 422
    assert "1 to 24" in refused.json()["error"]


def test_cancel_stops_the_process_and_resume_goes_on(served):
    id = served.running()
    assert served.client.post(f"/api/jobs/{id}/cancel").json()["state"] == "cancelled"
    served.until(lambda: served.executor.stopped == [id])
    served.until(lambda: served.client.post(f"/api/jobs/{id}/resume").status_code == 200)
    served.until(lambda: id in served.executor.tasks)


def test_a_failed_job_says_why(served):
    id = served.running()
    served.executor.fail(id, "There is no thing in the text.")
    served.until_state(id, "failed")
    assert served.client.get(f"/api/jobs/{id}").json()["error"] == "There is no thing in the text."


def test_messages_hold_no_paths_and_no_traceback(served, tmp_path):
    files = {"image": ("a.png", picture())}
    id = served.client.post("/api/jobs", files=files).json()["id"]
    served.until(lambda: id in served.executor.tasks)
    path = served.executor.tasks[id].job.config.prompt.image
    assert path.is_relative_to(tmp_path)
    served.executor.fail(id, f"--image {path} shows nothing.")
    served.until_state(id, "failed")
    error = served.client.get(f"/api/jobs/{id}").json()["error"]
    assert error == "--image inputs/image.png shows nothing."
    other = served.running(text="a blue bowl")
    served.executor.fail(other, 'Internal error: KeyError: 1\nTraceback\n  File "x.py"')
    served.until_state(other, "failed")
    error = served.client.get(f"/api/jobs/{other}").json()["error"]
    assert error.splitlines()[0] == "Internal error: KeyError: 1"
    assert "Traceback" not in error


def test_delete_removes_the_files(served):
    id = served.running()
    run = served.executor.write_run(id, ["mesh.glb"])
    refused = served.client.delete(f"/api/jobs/{id}")
    assert refused.status_code == 409
    assert "cancel it first" in refused.json()["error"]
    served.executor.fail(id, "why")
    served.until_state(id, "failed")
    assert served.client.delete(f"/api/jobs/{id}").status_code == 204
    assert not run.exists()
    assert served.client.get(f"/api/jobs/{id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("POST", "/cancel"), ("POST", "/resume"), ("DELETE", ""), ("GET", "/events"),
        ("GET", "/files"), ("GET", "/files/mesh.glb"),
    ],
)  # fmt: skip
def test_no_such_job(served, method, path):
    answer = served.client.request(method, f"/api/jobs/0123456789abcdef{path}")
    assert answer.status_code == 404
    assert "no job '0123456789abcdef'" in answer.json()["error"]


def test_events_follow_a_job_to_its_end(served):
    id = served.running()
    served.executor.write_run(id, ["reference.png", "previews/coarse_00002.png"], steps=3)
    served.executor.finish(id)
    answer = served.client.get(f"/api/jobs/{id}/events")  # ends with the job
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = list(events_of(answer.text))
    steps = [data for name, data, _ in found if name == "steps"]
    assert [record["step"] for data in steps for record in data["records"]] == [1, 2, 3]
    assert "checksum" not in steps[0]["records"][0]
    pictures = {data["name"] for name, data, _ in found if name == "preview"}
    assert pictures == {"reference.png", "previews/coarse_00002.png"}
    assert [data["state"] for name, data, _ in found if name == "job"][-1] == "done"
    assert found[-1][0] == "end"
    known = next(id for name, _, id in found if name == "steps")
    again = served.client.get(f"/api/jobs/{id}/events", headers={"last-event-id": known})
    assert "steps" not in [name for name, *_ in events_of(again.text)]


def test_records_that_a_resumed_run_drops_are_reset(served):
    id = served.running()
    run = served.executor.write_run(id, steps=3)
    offset = str((run / "events.jsonl").stat().st_size)
    served.executor.write_run(id, steps=1)
    served.executor.fail(id, "why")
    served.until_state(id, "failed")
    answer = served.client.get(f"/api/jobs/{id}/events", headers={"last-event-id": offset})
    names = [name for name, *_ in events_of(answer.text)]
    assert names[:2] == ["reset", "steps"]


def test_a_long_log_comes_in_pieces(served):
    id = served.running()
    served.executor.write_run(id, steps=3000)
    served.executor.finish(id)
    answer = served.client.get(f"/api/jobs/{id}/events")
    steps = [data["records"] for name, data, _ in events_of(answer.text) if name == "steps"]
    assert len(steps) > 2
    assert [r["step"] for records in steps for r in records] == list(range(1, 3001))


def test_what_a_killed_server_left_goes_on(serve):
    first = serve()
    id = first.running()
    waiting = first.submit("a blue bowl")["id"]
    left = first.service.queue.folder / "incoming" / "half"
    left.mkdir(parents=True)
    first.service._stop.set()  # as if killed: the records stay as they are
    first.service._thread.join()
    first.service._held.close()
    second = serve()
    assert not left.exists()
    second.until(lambda: id in second.executor.tasks)
    assert second.state(waiting) == "queued"
    second.executor.write_run(id)
    second.executor.finish(id)
    second.until_state(id, "done")
    second.until(lambda: waiting in second.executor.tasks)


def test_one_server_per_folder(serve):
    from xbind.batch.jobs import BatchError

    serve()
    with pytest.raises(BatchError, match="Another xbind works on the jobs"):
        serve()


def test_a_driver_that_failed_is_told(served, monkeypatch):
    id = served.running()
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    monkeypatch.setattr(served.service.queue, "release", lambda *_, **__: 1 / 0)
    served.executor.fail(id, "why")
    served.until(lambda: served.service.failure is not None)
    answer = served.client.post("/api/jobs", data={"text": "a blue bowl"})
    assert answer.status_code == 503
    assert "makes no more objects" in answer.json()["error"]
