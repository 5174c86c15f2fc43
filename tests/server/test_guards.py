"""Who is refused: other hosts, pages of other sites, no token; and what answers carry."""

import socket

import pytest

from xbind.config.serve import ServeConfig

TOKEN = "0123456789abcdefghijkl"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "192.168.0.7",
     "localhost@evil.example", "xn--localhost", "2130706433"],
)  # fmt: skip
def test_other_hosts_are_refused(served, host):
    answer = served.client.get("/api/jobs", headers={"host": host})
    assert answer.status_code == 421
    assert "--names" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:8000"])
def test_loopback_names_are_answered(served, host):
    assert served.client.get("/api/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("gpu.example.org", 200), ("192.168.0.7:8000", 200), (socket.gethostname(), 200),
     ("evil.example", 421)],
)  # fmt: skip
def test_names_of_a_server_that_others_reach(serve, host, status):
    served = serve(TOKEN, host="0.0.0.0", names="gpu.example.org, other.example.org")
    headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
    assert served.client.get("/api/jobs", headers=headers).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "file://"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_sites_are_refused(served, headers, method):
    answer = served.client.request(method, "/api/jobs", headers=headers, data={"text": "mug"})
    assert answer.status_code == 403
    assert served.service.queue.records() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "https://gpu.example.org", "host": "gpu.example.org"},  # TLS ends at a proxy
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_its_own_page_is_answered(serve, headers):
    served = serve(names="gpu.example.org")
    assert served.client.get("/api/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/api/jobs", "/api/info", "/api/jobs/0/files/mesh.glb"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"cookie": "xbind_token=wrong"},
        {"cookie": f"other={TOKEN}"},
        {"authorization": b"Bearer \xff\xfe"},
    ],
)
def test_the_token_is_needed(serve, path, headers):
    answer = serve(TOKEN).client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_login_keeps_the_token_in_a_cookie(serve):
    served = serve(TOKEN)
    wrong = served.client.post("/api/login", json={"token": "wrong"})
    assert wrong.status_code == 401
    answer = served.client.post("/api/login", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert served.client.get("/api/jobs").status_code == 200
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert serve_again(served).get("/api/jobs", headers=bearer).status_code == 200


def serve_again(served):
    served.client.cookies.clear()
    return served.client


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/static/server.js"])
def test_the_page_itself_needs_no_token(serve, path):
    assert serve(TOKEN).client.get(path).status_code == 200


def test_answers_carry_their_headers(served):
    for path in ("/", "/api/jobs", "/api/jobs/0"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"].split("style-src")[0]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_other_hosts(served, path):
    text = served.client.get(path).text
    assert "http:" not in text
    assert "https:" not in text
    assert "<script>" not in text  # the policy would refuse it


def test_the_interface_is_documented(served):
    document = served.client.get("/openapi.json").json()
    routes = {(m, path) for path, methods in document["paths"].items() for m in methods}
    jobs = "/api/jobs/{id}"
    assert routes == {
        ("get", "/api/info"), ("get", "/api/jobs"), ("post", "/api/jobs"), ("get", jobs),
        ("delete", jobs), ("post", f"{jobs}/cancel"), ("post", f"{jobs}/resume"),
        ("post", f"{jobs}/again"), ("get", f"{jobs}/events"), ("get", f"{jobs}/files"),
        ("get", f"{jobs}/files/{{name}}"),
    }  # fmt: skip
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 70000}, "--port"),
        ({"workers": 0}, "--workers"),
        ({"quota": 0.0}, "--quota"),
        ({"max_upload": float("inf")}, "--max-upload"),
        ({"vram": -1.0}, "--vram"),
        ({"max_queued": 0}, "--max-queued"),
        ({"host": " "}, "--host"),
        ({"threads": 0}, "--threads"),
    ],
)
def test_settings_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ServeConfig(**values)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("gpu.example.org", False)],
)  # fmt: skip
def test_what_is_local(host, local):
    assert ServeConfig(host=host).local is local
