"""Uploads: names, kinds, sizes and headers that are refused, and what is kept of the rest."""

import io
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from xbind.config.serve import TEXT_BYTES
from xbind.server.uploads import SUFFIXES, kind_of


def picture(size=(64, 64), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 60, 30)).save(buffer, kind)
    return buffer.getvalue()


def array(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def png_bomb(width, height):
    """A PNG whose header claims a size, with little behind it."""

    def chunk(kind, data):
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    pixels = zlib.compress(bytes(10**6))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", size + bytes([8, 2, 0, 0, 0])),
         chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )  # fmt: skip


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(10**7))
    return buffer.getvalue()


def claiming(shape):
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


def post(served, name, data, file_name="x.bin", **values):
    files = {name: (file_name, data, "image/png")}
    return served.client.post("/api/jobs", files=files, data=values)


def everything(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "file_name", ["../../../evil.png", "/etc/passwd", "..", "a\\..\\b.png", ".lock", "x" * 2000]
)
def test_names_of_the_client_are_not_used(served, tmp_path, file_name):
    answer = post(served, "image", picture(), file_name)
    assert answer.status_code == 201, answer.text
    assert answer.json()["prompt"]["files"] == {"image": "inputs/image.png"}
    (stored,) = [p for p in everything(tmp_path) if p.suffix == ".png"]
    assert stored.is_relative_to(tmp_path / "server" / "inputs")
    back = served.client.get(f"/api/jobs/{answer.json()['id']}/files/inputs/image.png")
    assert back.content == picture()
    assert "sandbox" in back.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("name", "data", "status", "message"),
    [
        ("image", archive(), 415, "of another kind"),
        ("image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "png, jpg"),
        ("image", b"%!PS-Adobe-3.0 EPSF", 415, "of another kind"),
        ("image", b"", 415, "is empty"),
        ("image", picture(kind="PNG")[:20], 422, "cannot be read as a picture"),
        ("image", png_bomb(100_000, 100_000), 422, "pixels"),
        ("image", picture((4, 4)), 422, "4 × 4"),
        ("audio", picture(), 415, "wav, flac, ogg, mp3"),
        ("audio", b"\x80\x04\x95pickle", 415, "of another kind"),
        ("depth", picture(kind="JPEG"), 415, "is a jpg file"),
        ("depth", claiming((40_000, 40_000)), 422, "claims 12800000000 bytes"),
        ("depth", claiming((-5, 7)), 422, "claims"),
        ("depth", b"\x93NUMPY\x01\x00\x05\x00{'a'}", 422, "NumPy array"),
        ("depth", array(np.array([[object()] * 2], dtype=object)), 422, "Python objects"),
        ("thermal", picture(), 422, "cannot read thermal"),
        ("imu", array(np.zeros((9, 6))), 422, "cannot read imu"),
    ],
)
def test_hostile_files_are_refused(served, tmp_path, name, data, status, message):
    answer = post(served, name, data)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
    assert str(tmp_path) not in answer.json()["error"]
    assert served.service.queue.records() == []
    assert [p.name for p in everything(tmp_path)] == [".lock"]


def test_a_length_that_is_too_large_is_refused_before_the_body(served):
    def endless():
        raise AssertionError("the body was asked for")
        yield b""

    headers = {"content-length": str(10 * 2**30), "content-type": "multipart/form-data; boundary=x"}
    answer = served.client.post("/api/jobs", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert "--max-upload" in answer.json()["error"]


def test_a_body_without_a_length_is_cut_off(serve):
    served, sent = serve(max_upload=1.0), []

    def pieces():
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        for k in range(100):
            sent.append(k)
            yield bytes(2**16)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = served.client.post("/api/jobs", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert served.service.queue.records() == []


def test_other_requests_are_short(served):
    answer = served.client.post("/api/jobs/0/again", content=b"x" * (TEXT_BYTES + 1))
    assert answer.status_code == 413


def test_more_than_the_quota_is_refused(serve):
    served = serve(quota=0.1)  # room for one job that has not ended
    served.submit()
    answer = served.client.post("/api/jobs", data={"text": "a blue bowl"})
    assert answer.status_code == 507
    assert "--quota" in answer.json()["error"]


def test_more_than_may_wait_are_refused(serve):
    served = serve(max_queued=2)
    served.running()
    served.submit("a blue bowl")
    served.submit("a green bowl")
    answer = served.client.post("/api/jobs", data={"text": "a black bowl"})
    assert answer.status_code == 429


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no prompt"),
        ({"text": "  "}, "text is empty"),
        ({"text": "mug", "seed": "-1"}, "seed"),
        ({"text": "mug", "seed": "x"}, "seed"),
        ({"text": "mug", "preset": "nope"}, "no preset 'nope'"),
        ({"text": "mug", "preset": "../x"}, "no preset"),
        ({"text": "mug", "wieght": "1"}, "no field 'wieght'"),
        ({"text": ["mug", "bowl"]}, "given twice"),
        ({"text": "mug", "text_weight": "nan"}, "text_weight"),
        ({"text": "mug", "audio_weight": "2"}, "audio_weight is given without audio"),
        ({"text": "mug", "elevation": "10"}, "elevation is given without image"),
        ({"text": "mug", "depth_kind": "other"}, "depth_kind"),
        ({"text": "mug", "mask": "words"}, "mask"),
    ],
)
def test_forms_that_are_refused(served, values, message):
    answer = served.client.post("/api/jobs", data=values)
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]


def test_a_mix_keeps_its_weights(served):
    sound = b"RIFF\x00\x00\x00\x00WAVE"
    answer = post(served, "audio", sound, text="a red mug", audio_weight="2")
    assert answer.status_code == 201, answer.text
    prompt = answer.json()["prompt"]
    assert prompt["weights"] == {"text": 1.0, "audio": 2.0}
    config = served.service.queue.records()[0].job.config
    assert (config.prompt.audio_weight, config.prompt.text) == (2.0, "a red mug")


def test_disparity_stays_disparity(served):
    answer = post(served, "depth", array(np.ones((32, 32))), depth_kind="disparity")
    assert answer.status_code == 201, answer.text
    assert served.service.queue.records()[0].job.config.prompt.depth_kind == "disparity"


@pytest.mark.parametrize(
    "name",
    ["../../jobs", "..%2f..%2fjobs", "%2e%2e/%2e%2e/.lock", "/etc/passwd", "%2fetc%2fpasswd",
     ".lock", "checkpoints/1.pt", "previews", "previews/%2e%2e%2fconfig.json", "mesh.glb%00.png",
     "inputs/%2e%2e%2fconfig.json", "link.png", "previews/link.png", "previews/.hidden.png"],
)  # fmt: skip
def test_no_path_leads_out_of_a_job(served, tmp_path, name):
    id = served.running()
    run = served.executor.write_run(id, ["checkpoints/1.pt", "previews/.hidden.png"])
    (tmp_path / "secret.png").write_text("secret")
    (run / "previews" / "link.png").symlink_to(tmp_path / "secret.png")
    (run / "mask.png").symlink_to(tmp_path / "secret.png")
    answer = served.client.get(f"/api/jobs/{id}/files/{name}")
    assert answer.status_code in (404, 405)
    assert served.client.get(f"/api/jobs/{id}/files/mask.png").status_code == 404
    names = [f["name"] for f in served.client.get(f"/api/jobs/{id}/files").json()["files"]]
    assert names == ["config.json", "events.jsonl"]


def test_a_report_runs_in_an_origin_of_its_own(served):
    id = served.running()
    served.executor.write_run(id, ["report.html"])
    policy = served.client.get(f"/api/jobs/{id}/files/report.html").headers
    policy = policy["content-security-policy"]
    assert "sandbox allow-scripts allow-downloads" in policy
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_pictures_are_recognised(kind):
    assert kind_of(picture(kind=kind)[:512]) in SUFFIXES["image"]
