"""GET /runs/{id}/events as a stream: what happened in a run and what happens, told as it does."""

import signal
from uuid import uuid4

import pytest
from factories import NOON, make_run
from peewee import OperationalError
from statements import counted
from waiting import wait_until
from watching import Event, connect_to, connections_to, events, next_event, threads

from api import live, long_requests
from api.services import KEY
from shared import db, history
from shared.events import Event as Happened
from shared.events import append
from shared.models import Run
from shared.states import COMPLETED, PAUSED, QUEUED, RUNNING

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def run(app):
    """A run that is under way."""
    return make_run(leased_by="worker-1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Looks follow each other closely; pages are short; nobody waits for what does not come."""
    monkeypatch.setattr(live, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(live, "_SIGN_OF_LIFE_SECONDS", 5.0)
    monkeypatch.setattr(history, "_EVENTS_AT_ONCE", 3)


@pytest.fixture
def watch(viewer, run):
    """Watches a run, by default that of the test, until the test ends."""
    responses = []

    def start(run_id=run.id, *, heard=None):
        headers = STREAM if heard is None else {**STREAM, "Last-Event-ID": heard}
        response = viewer.get(path_of(run_id), headers=headers)
        responses.append(response)
        return response

    yield start
    for response in responses:
        response.close()
    wait_until(lambda: not threads(), "the thread to end")


@pytest.fixture
def looks(app, monkeypatch):
    """The ids of the runs that were looked at, look by look."""
    watching, seen = app.extensions[KEY].live_runs, []

    def look(run_ids):
        seen.append(run_ids)
        return history.progress_of(run_ids)

    monkeypatch.setattr(watching, "_look", look)
    return seen


def path_of(run_id):
    return f"/runs/{run_id}/events"


def happen(run, *lines):
    """Have an agent log *lines*."""
    append(run.id, run.attempt, [Happened(NOON, "log", {"text": line}) for line in lines])


def move(run, status, **values):
    """Have *run* be in *status*."""
    lease = {} if status is RUNNING else {"leased_by": None, "lease_until": None}
    Run.update(status=status, **lease, **values).where(Run.id == run.id).execute()


def end(run):
    move(run, COMPLETED, finished_at=NOON)


def texts_of(told):
    return [event.data["data"]["text"] for event in told]


def test_who_watches_is_told_what_happened_and_then_what_happens(viewer, watch, run):
    happen(run, "one", "two")
    response = watch()

    assert response.status_code == 200
    assert response.content_type == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    told = events(response)
    assert next(told) == Event("status", None, {"status": "RUNNING", "attempt": 1})
    shown = viewer.get(path_of(run.id)).json["content"]
    assert [next(told), next(told)] == [Event("log", str(each["seq"]), each) for each in shown]
    happen(run, "three")
    name, id, data = next(told)
    assert (name, id) == ("log", "3")
    assert data == viewer.get(path_of(run.id)).json["content"][2]


@pytest.mark.parametrize(
    "accepts",
    ["", "*/*", "application/json", "application/json, text/event-stream", "text/event-stream;q=0"],
)
def test_who_does_not_ask_for_a_stream_has_a_page(viewer, run, accepts):
    happen(run, "one", "two")

    response = viewer.get(f"{path_of(run.id)}?size=1", headers={"Accept": accepts})

    assert response.content_type == "application/json"
    assert [event["seq"] for event in response.json["content"]] == [1]


def test_each_event_is_told_once_and_in_order_however_many_there_are(watch, run):
    lines = [str(number) for number in range(20)]
    happen(run, *lines[:8])
    told = events(watch())
    next(told)

    heard = [next(told) for _ in range(2)]
    happen(run, *lines[8:10])
    heard += [next(told) for _ in range(8)]
    happen(run, *lines[10:])
    end(run)
    *more, last = told

    heard += more
    assert [event.data["data"]["text"] for event in heard] == lines
    assert [event.id for event in heard] == [str(seq) for seq in range(1, 21)]
    assert last.name == "ended"


def test_who_comes_again_goes_on_where_they_were(watch, run):
    happen(run, *"abcdefgh")
    end(run)

    *told, last = events(watch(heard="3"))

    assert (texts_of(told), last.name) == (list("defgh"), "ended")


@pytest.mark.parametrize("heard", ["", "-1", "1.5", "two", "٣", "9" * 10, "9" * 4000, "ended"])
def test_what_is_no_event_of_ours_has_not_been_heard(watch, run, heard):
    happen(run, "one")
    told = events(watch(heard=heard))
    next(told)

    assert next(told).id == "1"


def test_the_end_is_told_with_the_run_after_all_that_happened(viewer, watch, run):
    told = events(watch())
    next(told)

    happen(run, "one", "two", "three", "four")
    end(run)
    *before, last = told

    assert texts_of(before) == ["one", "two", "three", "four"]
    assert last == Event("ended", "ended", viewer.get(f"/runs/{run.id}").json)
    assert last.data["status"] == "COMPLETED"


def test_of_a_run_that_has_ended_all_is_told_as_well(watch, run):
    happen(run, *"abcd")
    end(run)

    told = [(event.name, event.id) for event in events(watch())]

    assert told == [("log", "1"), ("log", "2"), ("log", "3"), ("log", "4"), ("ended", "ended")]


def test_who_has_heard_of_the_end_need_not_come_again(watch, run):
    happen(run, "one")
    end(run)

    response = watch(heard="ended")
    assert (response.status_code, response.data) == (204, b"")

    assert [event.id for event in events(watch(heard="1"))] == ["ended"]


def test_whatever_a_run_becomes_is_told_and_takes_nobody_from_their_place(watch, app):
    queued = make_run()
    response = watch(queued.id)
    told = events(response)
    heard = [next(told)]

    lease = {"leased_by": "worker-1", "lease_until": NOON}
    for status, values in [
        (RUNNING, {"attempt": 1, **lease}),
        (QUEUED, {}),
        (RUNNING, {"attempt": 2, **lease}),
        # It went so fast that nobody saw it queued.
        (RUNNING, {"attempt": 3}),
        (PAUSED, {}),
    ]:
        move(queued, status, **values)
        heard.append(next(told))

    assert {(event.name, event.id) for event in heard} == {("status", None)}
    assert [(event.data["status"], event.data["attempt"]) for event in heard] == [
        *(("QUEUED", 0), ("RUNNING", 1), ("QUEUED", 1), ("RUNNING", 2), ("RUNNING", 3)),
        ("PAUSED", 3),
    ]
    end(queued)
    assert [event.name for event in told] == ["ended"]


@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("tool_call", "tool_call"),
        ("Größe 🚀: x", "Größe 🚀: x"),
        # What breaks a line is no name,
        ("log\nid: 99\ndata: {}", "other"),
        ("log\rdata: {}\r\rx", "other"),
        ("log\r\n\r\nevent: ended", "other"),
        ("\x1b[2J", "other"),
        ("", "other"),
        # and our own names are not theirs.
        ("ended", "other"),
        ("status", "other"),
    ],
)
def test_no_type_that_an_agent_chooses_is_taken_for_something_else(watch, run, type, name):
    append(run.id, 1, [Happened(NOON, type, {}), Happened(NOON, "log", {})])
    told = events(watch())
    next(told)

    first, second = next(told), next(told)

    assert (first.name, first.id, first.data["type"]) == (name, "1", type)
    assert (second.name, second.id) == ("log", "2")


def test_nothing_that_an_agent_says_breaks_out_of_its_event(watch, run):
    said = {
        "a\n\nb": "\r\n\r\nid: 99\nevent: ended\rdata: {}\n\n\u2028\x85\x0b\x1c",
        "list": ["\n"],
    }
    append(run.id, 1, [Happened(NOON, "log", said), Happened(NOON, "log", {})])
    told = events(watch())
    next(told)

    first, second = next(told), next(told)

    assert first.data["data"] == said
    assert (first.id, second.id) == ("1", "2")


def test_an_unknown_run_is_not_found_and_takes_no_place(watch, monkeypatch):
    monkeypatch.setattr(long_requests, "MOST", 1)

    response = watch(uuid4())

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert watch().status_code == 200
    assert watch().status_code == 503


def test_who_watches_a_run_that_is_deleted_is_told_no_more(watch, run):
    told = events(watch())
    next(told)

    Run.delete().where(Run.id == run.id).execute()

    assert list(told) == []


def test_who_is_behind_with_a_run_that_is_deleted_is_told_no_more(watch, run):
    happen(run, *"abcdef")
    end(run)
    told = events(watch())
    heard = [next(told) for _ in range(2)]

    Run.delete().where(Run.id == run.id).execute()

    # What was read already.
    assert texts_of([*heard, *told]) == ["a", "b", "c"]


def test_however_many_watch_whatever_runs_one_statement_looks_at_all(watch, run, looks):
    runs = [run, run, make_run(attempt=1), make_run(attempt=1)]
    with counted(db.proxy.obj) as said:
        responses = [watch(each.id) for each in runs]
        wait_until(lambda: looks and looks[-1] == {each.id for each in runs}, "a look at all")
        for each in runs[1:]:
            happen(each, "one")
        for response in responses:
            told = events(response)
            assert [next(told).name, next(told).name] == ["status", "log"]
            response.close()
        wait_until(lambda: not threads(), "the thread to end")

    assert said.statements["live"] == len(looks)


def test_who_is_slow_has_no_more_read_for_them_than_they_take(watch, run, looks, monkeypatch):
    read, pages = history.events_after, []

    def events_after(run_id, seq):
        pages.append(seq)
        return read(run_id, seq)

    monkeypatch.setattr(history, "events_after", events_after)
    happen(run, *"abcdefgh")
    told = events(watch())
    next(told)

    for _ in range(4):
        next(told)
    happen(run, "i")
    seen = len(looks)
    wait_until(lambda: len(looks) > seen + 3, "some looks")

    assert pages == [0, 3]


def test_a_database_that_is_away_costs_nobody_an_event(watch, run, monkeypatch, caplog):
    caplog.set_level("INFO")
    read, asked = history.events_after, []

    def events_after(run_id, seq):
        asked.append(seq)
        if 1 < len(asked) < 4:
            raise OperationalError("server closed the connection unexpectedly")
        return read(run_id, seq)

    monkeypatch.setattr(history, "events_after", events_after)
    happen(run, *"abcdefgh")
    end(run)

    *told, last = events(watch())

    assert (texts_of(told), last.name) == (list("abcdefgh"), "ended")
    assert asked[:5] == [0, 3, 3, 3, 6]
    assert caplog.text.count("cannot reach the database") == 1


def test_who_is_behind_goes_as_well_when_the_process_is_to_end(app, watch, run):
    happen(run, *"abcdefgh")
    told = events(watch())
    heard = [next(told) for _ in range(2)]
    services = app.extensions[KEY]
    (watcher,) = services.live_runs._watchers

    services.end_watching()
    wait_until(lambda: watcher.latest is None, "the watcher to be told")

    # They come again, for they have not heard of the end.
    assert texts_of([*heard[1:], *told]) == ["a", "b", "c"]
    assert watch().status_code == 503


@pytest.fixture
def system(system):
    """A real server of one process, which takes its time to end."""
    system.environ["WEB_CONCURRENCY"] = "1"
    system.environ["AGENT_MANAGER_SHUTDOWN_GRACE"] = "60"
    # As few as there may be.
    system.environ["AGENT_MANAGER_DATABASE_CONNECTIONS"] = "4"
    return system


@pytest.fixture
def connect(system):
    """Watches a run over a connection of its own, until the test ends."""
    opened = []

    def start(run, **headers):
        connection = connect_to(system.port, path_of(run.id), STREAM | headers)
        opened.append(connection)
        return connection

    yield start
    for connection in opened:
        connection.close()


def test_a_real_server_tells_all_that_a_real_worker_does(system, connect):
    system.start("web")
    run = make_run(kind="command", config={"argv": ["sh", "-c", "echo one >&2; sleep 3; cat"]})

    with connect(run).getresponse() as response:
        assert next_event(response).data["status"] == "QUEUED"
        system.start("scheduler")
        system.start("worker")
        assert next_event(response).data == {"status": "RUNNING", "attempt": 1}
        first, last = next_event(response), next_event(response)
        assert (first.id, first.data["data"]["text"]) == ("1", "one")
        assert (last.id, last.data["content"]) == ("ended", "Hello")
        assert next_event(response) is None


def test_a_real_server_ends_soon_though_somebody_watches_a_run(system, connect):
    run = make_run()
    process = system.start("web")
    responses = [connect(run).getresponse() for _ in range(3)]
    for response in responses:
        next_event(response)

    process.send_signal(signal.SIGTERM)

    # It would wait for a minute.
    assert process.wait(20) == 0
    assert [next_event(response) for response in responses] == [None] * 3


def test_many_watch_on_few_connections_and_others_are_answered(system, connect, database_url):
    runs = [make_run(leased_by="worker-1") for _ in range(long_requests.MOST)]
    own = connections_to(database_url)
    system.start("web")
    responses = [connect(run).getresponse() for run in runs]
    for response in responses:
        assert next_event(response).name == "status"

    with connect(runs[0]).getresponse() as refused:
        assert refused.status == 503
    for run in runs:
        happen(run, "one")
    told = [next_event(response) for response in responses]

    assert {(event.name, event.id) for event in told} == {("log", "1")}
    assert system.call("GET", f"/api/v1/runs/{runs[0].id}")[0] == 200
    assert connections_to(database_url) - own <= 4
