import http.client
import json
import socket
import threading

import pytest

from shears.reporting.live import Watched
from shears.reporting.server import ADDRESS, Server
from shears.runtime.errors import UserError
from tests.invented_runs import begin, history, save_checkpoint


@pytest.fixture
def server(tmp_path):
    begin(tmp_path, "dense/seed_0")
    save_checkpoint(tmp_path, "dense/seed_0", history(2, 0.0))
    with Server(Watched(tmp_path), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path="/", method="GET", **headers):
    """Returns status, headers and content of an answer."""
    connection = http.client.HTTPConnection(ADDRESS, server.server_port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_the_page_and_its_state_are_served_and_nothing_else(server):
    status, headers, page = ask(server)
    assert status == 200 and b"epoch 2 of 4" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    status, _, content = ask(server, "/state")
    state = json.loads(content)
    assert status == 200 and "epoch 2 of 4" in state["body"]
    assert ask(server, "/state", **{"If-None-Match": state["version"]})[0] == 304
    for path in (
        *("/results", "/results/", "/../../etc/passwd", "/state/"),
        *("/checkpoints/dense/seed_0.npz", "/?x", "/%2e%2e/", "*"),
    ):
        assert ask(server, path)[0] == 404, path


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""]
)
def test_another_host_is_refused(server, host):
    status, _, content = ask(server, Host=host.format(port=server.server_port))
    assert status == 421 and b"<" not in content


def test_localhost_is_this_machine(server):
    assert ask(server, Host=f"localhost:{server.server_port}")[0] == 200


def test_two_hosts_or_none_are_refused(server):
    for lines in (b"", b"Host: 127.0.0.1:%d\r\nHost: evil\r\n" % server.server_port):
        with socket.create_connection((ADDRESS, server.server_port)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n" + lines + b"\r\n")
            assert b" 421 " in connection.makefile("rb").readline()


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(server, method):
    status, headers, _ = ask(server, method=method)
    assert status == 405 and headers["Allow"] == "GET"


def test_only_loopback_listens(server):
    assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_one_line(server):
    with pytest.raises(UserError, match="Address already in use, expected a free port"):
        Server(server.watched, server.server_port)
