"""A batch with real processes: from a CSV to its results, with a notice that can be trusted."""

import base64
import csv
import hmac
import io
import json
import signal
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from system import ADMIN_TOKEN
from waiting import wait_until

PATH = "/api/v1/schedules/batches"
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two characters").decode()
BOUNDARY = "between-the-parts"


@pytest.fixture
def webhook():
    """A service that remembers what it was told, and with which headers."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", told
        server.shutdown()
        thread.join()


def upload(system, content, **fields):
    """Submit a batch as curl's -F does; the answer."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    parts.append(f'{head}"items"; filename="rows.csv"\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n')
    request = urllib.request.Request(
        f"http://127.0.0.1:{system.port}{PATH}",
        data="".join(parts).encode(),
        headers={
            "Authorization": f"Bearer {ADMIN_TOKEN}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        return json.loads(answer.read())


def download(system, path):
    request = urllib.request.Request(
        f"http://127.0.0.1:{system.port}{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def test_from_a_csv_to_its_results_with_a_worker_terminated_on_the_way(system, webhook):
    url, told = webhook
    system.environ |= {
        "AGENT_MANAGER_ALLOW_PRIVATE_ADDRESSES": "true",
        "AGENT_MANAGER_SECRET_HOOK": SECRET,
        "AGENT_MANAGER_SHUTDOWN_GRACE": "0.05",
    }
    for kind in ("web", "scheduler", "worker"):
        system.start(kind)
    first, _ = system.start("batch"), system.start("batch")
    hook = {"id": "hook", "name": "Hook", "kind": "http"}
    hook["config"] = {"url": url, "signingSecret": "HOOK"}
    assert system.call("POST", "/api/v1/agents", hook)[0] == 201
    writer = {"id": "writer", "name": "Writer", "kind": "echo"}
    writer["config"] = {"delaySeconds": 0.4, "costUsd": 0.01}
    assert system.call("POST", "/api/v1/agents", writer)[0] == 201
    rows = "key,name\n" + "".join(f'c-{n},"Customer {n}, esq."\n' for n in range(120))

    made = upload(
        system,
        rows,
        name="Letters",
        agentId="writer",
        template="Dear {{ name }}",
        notifyAgentId="hook",
        maxAttempts=1,
    )
    batch_path = f"{PATH}/{made['id']}"
    seen = []

    def reached(percentage):
        seen.append(system.call("GET", batch_path)[1])
        return seen[-1]["progressPercentage"] >= percentage

    wait_until(lambda: reached(20), "a fifth of the batch", timeout=30)
    first.send_signal(signal.SIGTERM)
    wait_until(lambda: reached(100) and seen[-1]["finishedAt"], "its end", timeout=60)

    batch = seen[-1]
    assert (batch["status"], batch["counts"]["completed"]) == ("COMPLETED", 120)
    assert batch["actualCost"]["usd"] == pytest.approx(1.2)
    assert batch["estimatedCost"]["lowUsd"] == pytest.approx(1.2)
    assert batch["interruptions"]["count"] > 0
    assert sum(each["workers"] for each in batch["computeConfiguration"]["ranOn"]) == 2
    progress = [each["progressPercentage"] for each in seen]
    assert progress == sorted(progress)
    results = csv.DictReader(
        io.StringIO(download(system, f"{batch_path}/results?format=csv"), newline="")
    )
    assert [(row["key"], row["content"]) for row in results] == [
        (f"c-{n}", f"Dear Customer {n}, esq.") for n in range(120)
    ]
    wait_until(lambda: told, "the notice", timeout=20)
    headers, body = told[0]
    notice = json.loads(json.loads(body)["message"])
    assert (notice["event"], notice["batch"]["id"]) == ("batch.ended", made["id"])
    assert notice["batch"]["status"] == "COMPLETED"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, "sha256")
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert len(told) == 1
