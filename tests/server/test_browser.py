"""The page in a browser, with a real server and a real run, which is killed on the way."""

import signal
import time

import httpx2
import pytest

from tests.support.chromium import Chromium, find_chromium
from tests.support.served_process import ServedProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium"),
]

FILL = """(() => {
  const form = document.getElementById("prompt"), fields = form.elements;
  fields.text.value = "a red mug";
  fields.preset.value = "smoke";
  fields.text.dispatchEvent(new Event("input", { bubbles: true }));
  form.requestSubmit();
})()"""
STATE = "document.querySelector('#job .state')?.textContent ?? ''"
LOADED = "document.querySelector('#job model-viewer')?.loaded === true"
PRESS = "[...document.querySelectorAll('#job button')].find((b) => b.textContent === {!r}).click()"


def until(browser, expression, wanted, seconds=240):
    """Wait until an expression has a value."""
    end = time.monotonic() + seconds
    while (found := browser.evaluate(expression)) != wanted:
        assert time.monotonic() < end, (found, browser.evaluate("document.body.innerText"))
        time.sleep(0.2)


def visit(browser, address):
    browser.call("Page.navigate", url=address)
    until(browser, "document.getElementById('main')?.hidden", False, 60)


def test_from_the_form_to_the_mesh_with_a_server_killed_in_between(tmp_path):
    out = tmp_path / "server"
    with Chromium(find_chromium()) as browser:
        with ServedProcess(out, "--workers", "1") as first:
            port = first.port
            visit(browser, first.address)
            browser.evaluate(FILL)
            until(browser, STATE, "reference view")
            until(browser, "document.querySelectorAll('#job .share').length > 0", True)
            wait_for_pictures(browser, 2)
            browser.screenshot(tmp_path / "reference.png")  # kept, to look at
            browser.evaluate(PRESS.format("Accept"))
            until(browser, STATE, "running")
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        with ServedProcess(out, "--workers", "1", port=port) as second:
            # the page connects again by itself
            until(browser, STATE, "done")
            until(browser, LOADED, True)
            browser.screenshot(tmp_path / "done.png")  # kept, to look at
            text = browser.evaluate("document.getElementById('job').innerText")
            assert "mesh.glb" in text
            (job,) = httpx2.get(f"{second.address}/api/jobs").json()["jobs"]
            assert job["state"] == "done"
            size = f"fetch('/api/jobs/{job['id']}/files/mesh.glb').then((r) => r.blob())"
            (mesh,) = (out / "runs").glob("*/mesh.glb")
            assert browser.evaluate(f"{size}.then((b) => b.size)") == mesh.stat().st_size
            asked = {url.partition("?")[0][:30] for url in browser.requests()}
            assert all(url.startswith((f"http://127.0.0.1:{port}/", "data:", "blob:", "about:"))
                       for url in asked)  # fmt: skip
            browser.call(
                "Page.navigate", url=f"{second.address}/api/jobs/{job['id']}/files/report.html"
            )
            until(browser, "document.querySelector('model-viewer')?.loaded === true", True)
            assert browser.evaluate("window.origin") == "null"
            refused = [x for x in browser.complaints() if "Content Security Policy" in x]
            assert refused == []


def test_a_candidate_is_chosen_on_the_page(tmp_path):
    with ServedProcess(tmp_path, "--workers", "1") as server, Chromium(find_chromium()) as browser:
        visit(browser, server.address)
        browser.evaluate(FILL)
        until(browser, STATE, "reference view")
        wait_for_pictures(browser, 2)
        other = "document.querySelector('#job [aria-label=\"candidate 2\"]')"
        browser.evaluate(f"{other}.focus()")
        browser.screenshot(tmp_path / "candidates.png")  # kept, to look at
        browser.evaluate(f"{other}.click()")
        until(browser, STATE, "done")
        jobs = httpx2.get(f"{server.address}/api/jobs").json()["jobs"]
        assert [(job["state"], job["candidate"]) for job in jobs] == [
            ("done", 2), ("reference", None)
        ]  # fmt: skip


def wait_for_pictures(browser, count):
    """Wait until pictures of the job are there and decoded."""
    there = "[...document.querySelectorAll('#job img')].filter((i) => i.naturalWidth > 0).length"
    until(browser, f"{there} >= {count}", True, 30)


def test_the_documentation_page_lists_every_route(tmp_path):
    with ServedProcess(tmp_path, waiting=True) as server, Chromium(find_chromium()) as browser:
        browser.call("Page.navigate", url=f"{server.address}/docs")
        until(browser, "document.querySelectorAll('section code').length > 11", True, 30)
        text = browser.evaluate("document.body.innerText")
        assert "POST /api/jobs/{id}/resume" in text
        assert "Accept the reference view" in text
        browser.screenshot(tmp_path / "docs.png")


def test_the_token_in_the_address_logs_in(tmp_path):
    token = "0123456789abcdefghijkl"
    (tmp_path / "token").write_text(token)
    words = ("--token-file", str(tmp_path / "token"))
    with ServedProcess(tmp_path / "out", *words, waiting=True) as server:
        with Chromium(find_chromium()) as browser:
            browser.call("Page.navigate", url=server.address)
            until(browser, "document.getElementById('login')?.hidden", False, 30)
            assert browser.evaluate("document.getElementById('main').hidden")
        with Chromium(find_chromium()) as browser:
            visit(browser, f"{server.address}/#token={token}")
            assert token not in browser.evaluate("location.href")
            assert token not in browser.evaluate("document.cookie")
