"""GET /schedules/batches/{id}/events: a batch as it goes, told to whoever watches."""

import signal
import sqlite3
from uuid import uuid4

import pytest
from factories import NOON, make_batch
from peewee import OperationalError
from playhouse.pool import MaxConnectionsExceeded
from waiting import wait_until
from watching import Event, connect_to, connections_to, events, next_event, threads
from werkzeug.exceptions import ServiceUnavailable

from api import live, long_requests
from api.long_requests import LongRequests
from api.services import KEY
from shared.batches import view
from shared.batches.models import Batch, BatchProgress
from shared.states import BatchStatus

ENDED = {"status": BatchStatus.COMPLETED, "finished_at": NOON}


@pytest.fixture
def batch(app):
    return make_batch(items=10)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Looks follow each other closely; and nobody waits for long for what does not come."""
    monkeypatch.setattr(live, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(live, "_SIGN_OF_LIFE_SECONDS", 5.0)


@pytest.fixture
def watch(viewer, batch):
    """Watches a batch, by default that of the test, until the test ends."""
    responses = []

    def start(batch_id=batch.id, **options):
        response = viewer.get(path_of(batch_id), **options)
        responses.append(response)
        return response

    yield start
    for response in responses:
        response.close()
    wait_until(lambda: not threads(), "the thread to end")


@pytest.fixture
def looks(monkeypatch):
    """The ids of the batches that were looked at, look by look."""
    several, seen = view.several, []

    def look(batch_ids, *, now):
        seen.append(batch_ids)
        return several(batch_ids, now=now)

    monkeypatch.setattr(view, "several", look)
    return seen


def path_of(batch_id):
    return f"/schedules/batches/{batch_id}/events"


def go_on(batch, *, completed):
    """Have so many items of *batch* be completed by now."""
    BatchProgress.update(taken=completed, completed=completed).where(
        BatchProgress.batch == batch
    ).execute()


def end(batch):
    Batch.update(**ENDED).where(Batch.id == batch).execute()


def test_who_watches_is_told_at_once_how_it_is(viewer, watch, batch):
    response = watch()

    assert response.status_code == 200
    assert response.content_type == "text/event-stream"
    # Nobody in between is to keep it.
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    now = viewer.get(f"/schedules/batches/{batch.id}").json
    assert next(events(response)) == Event("progress", "1", now)


def test_a_change_is_told_and_nothing_else_is(viewer, watch, batch, looks):
    told = events(watch())
    next(told)
    wait_until(lambda: len(looks) > 3, "some looks")

    for number in (2, 3):
        go_on(batch, completed=number)

        name, id, data = next(told)
        assert (name, id, data["counts"]["completed"]) == ("progress", str(number), number)
        assert data == viewer.get(f"/schedules/batches/{batch.id}").json


def test_the_end_is_the_last_that_is_told(watch, batch):
    told = events(watch())
    next(told)

    end(batch)

    (last,) = told
    assert (last.name, last.id, last.data["status"]) == ("ended", "ended", "COMPLETED")


def test_of_a_batch_that_has_ended_there_is_nothing_else_to_tell(watch, batch):
    end(batch)

    (last,) = events(watch())

    assert (last.name, last.id, last.data["status"]) == ("ended", "ended", "COMPLETED")


def test_who_has_heard_of_the_end_need_not_come_again(watch, batch):
    heard_all, heard_some = ({"Last-Event-ID": id} for id in ("ended", "7"))
    assert next(events(watch(headers=heard_all))).name == "progress"

    end(batch)

    response = watch(headers=heard_all)
    assert (response.status_code, response.data) == (204, b"")
    assert next(events(watch(headers=heard_some))).name == "ended"


def test_who_watches_hears_of_their_batch_only(watch, batch):
    other = make_batch(items=10)
    one, another = events(watch()), events(watch(other.id))
    assert [next(each).data["id"] for each in (one, another)] == [str(batch.id), str(other.id)]

    go_on(other, completed=1)
    assert next(another).data["counts"]["completed"] == 1
    go_on(batch, completed=2)

    assert next(one).data["counts"]["completed"] == 2


def test_who_is_slow_hears_of_the_latest_only():
    watcher = live.Watcher({"completed": 0})

    for completed in (0, 1, 2, 2, 3):
        watcher.tell({"completed": completed})

    with pytest.raises(StopIteration) as heard:
        next(watcher.hear({"completed": 0}))
    assert heard.value.value == {"completed": 3}


def test_while_there_is_nothing_to_tell_there_are_signs_of_life(watch, monkeypatch):
    monkeypatch.setattr(live, "_SIGN_OF_LIFE_SECONDS", 0.01)
    texts = watch().response
    next(texts)

    # A line that begins with a colon is none that anybody hears.
    assert [next(texts) for _ in range(2)] == [b": still here\n\n"] * 2


def test_however_many_watch_a_batch_it_is_looked_at_once(watch, batch, looks):
    told = [events(watch()) for _ in range(3)]
    go_on(batch, completed=1)

    for each in told:
        assert [next(each).id, next(each).id] == ["1", "2"]

    assert set(map(tuple, looks)) == {(batch.id,)}


def test_when_nobody_watches_nobody_looks_until_somebody_does_again(watch, batch):
    for _ in range(2):
        response = watch()
        assert len(threads()) == 1

        response.close()

        wait_until(lambda: not threads(), "the thread to end")


def test_too_many_are_asked_to_come_again_and_who_goes_makes_room(watch, monkeypatch):
    monkeypatch.setattr(long_requests, "MOST", 2)
    first, second = watch(), watch()

    refused = watch()

    assert [first.status_code, second.status_code, refused.status_code] == [200, 200, 503]
    assert refused.content_type == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    first.close()
    assert watch().status_code == 200
    assert watch().status_code == 503


def test_who_has_not_begun_to_listen_has_a_place_until_the_answer_is_closed(watch, monkeypatch):
    monkeypatch.setattr(long_requests, "MOST", 1)
    watching = live.Watch("things", dict.fromkeys, LongRequests())
    answer = watching.response(uuid4(), "as it is", lambda _: iter(()))

    with pytest.raises(ServiceUnavailable):
        watching.response(uuid4(), "as it is", lambda _: iter(()))
    answer.close()

    watching.response(uuid4(), "as it is", lambda _: iter(())).close()


def test_who_only_asks_what_there_would_be_keeps_no_place(viewer, batch, watch, monkeypatch):
    monkeypatch.setattr(long_requests, "MOST", 1)

    for _ in range(2):
        with viewer("HEAD", path_of(batch.id)) as response:
            assert (response.status_code, response.data) == (200, b"")

    assert watch().status_code == 200


def test_what_is_no_batch_is_not_found_and_takes_no_place(watch, monkeypatch):
    monkeypatch.setattr(long_requests, "MOST", 1)

    response = watch(uuid4())

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert watch().status_code == 200


def test_whoever_watches_has_a_token(anyone, batch):
    assert anyone.get(path_of(batch.id)).status_code == 401


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("server closed the connection unexpectedly"),
        # What Peewee is not aware of.
        sqlite3.OperationalError("database is locked"),
        MaxConnectionsExceeded("Max connections exceeded, timed out attempting to connect."),
        ZeroDivisionError("by zero"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_look_that_fails_costs_nobody_what_there_is_to_tell(
    error, watch, batch, monkeypatch, caplog
):
    caplog.set_level("INFO")
    several, failed = view.several, []

    def look(batch_ids, *, now):
        if len(failed) < 3:
            failed.append(batch_ids)
            raise error
        return several(batch_ids, now=now)

    monkeypatch.setattr(view, "several", look)
    told = events(watch())
    next(told)

    go_on(batch, completed=1)

    assert next(told).data["counts"]["completed"] == 1
    assert len(failed) == 3
    assert caplog.text.count("cannot look at the batches that are watched") == 1
    assert caplog.text.count("can look at the batches that are watched again") == 1


def test_who_watches_goes_when_the_process_is_to_end_and_nobody_comes(app, watch):
    response = watch()
    told = events(response)
    next(told)

    app.extensions[KEY].end_watching()

    assert list(told) == []
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
    """Watches a batch over a connection of its own, until the test ends."""
    opened = []

    def start(batch):
        connection = connect_to(system.port, path_of(batch.id), {})
        opened.append(connection)
        return connection

    yield start
    for connection in opened:
        connection.close()


def test_a_real_server_tells_all_from_the_first_to_the_last(system, connect):
    batch = make_batch(items=10)
    system.start("web")

    with connect(batch).getresponse() as response:
        assert next_event(response).data["counts"]["completed"] == 0
        go_on(batch, completed=4)
        assert next_event(response).data["counts"]["completed"] == 4
        end(batch)
        assert next_event(response).name == "ended"
        assert next_event(response) is None


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_real_server_ends_soon_though_somebody_watches(system, connect, told):
    batch = make_batch(items=10)
    process = system.start("web")
    responses = [connect(batch).getresponse() for _ in range(3)]
    for response in responses:
        next_event(response)

    process.send_signal(told)

    # It would wait for a minute.
    assert process.wait(20) == 0
    # They come again, for they have not heard of the end.
    assert [next_event(response) for response in responses] == [None] * 3


def test_however_many_come_at_once_a_real_server_answers_others_all_the_same(
    system, connect, database_url
):
    batch = make_batch(items=10)
    own = connections_to(database_url)
    system.start("web")

    came = [connect(batch) for _ in range(long_requests.MOST + 20)]
    responses = [connection.getresponse() for connection in came]

    watching = [response for response in responses if response.status == 200]
    assert len(watching) == long_requests.MOST
    assert {response.status for response in responses} == {200, 503}
    for response in watching:
        next_event(response)
    status, shown = system.call("GET", f"/api/v1/schedules/batches/{batch.id}")
    assert (status, shown["id"]) == (200, str(batch.id))
    go_on(batch, completed=1)
    for response in watching:
        assert next_event(response).data["counts"]["completed"] == 1
    assert connections_to(database_url) - own <= 4

    for connection, response in zip(came, responses, strict=True):
        response.close()
        connection.close()

    # It is by writing that the server finds out.
    completed = iter(range(2, 1000))

    def somebody_else_may():
        go_on(batch, completed=next(completed) % 10)
        return connect(batch).getresponse().status == 200

    wait_until(somebody_else_may, "those who went to be forgotten")
