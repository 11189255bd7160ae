"""Hostile requests about batches: refused by name, never our fault, and nothing is left of them."""

import json
from dataclasses import replace
from io import BytesIO

import pytest
from factories import NOON, make_agent, make_batch
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from shared.batches import moves, submission, view
from shared.batches.models import Batch, BatchItem, BatchProgress, ComputeProfile
from shared.errors import NotFound
from shared.models import Agent, AuditEvent
from shared.states import BatchReason, BatchStatus, Role

UNKNOWN = "01a2201f-0000-7000-8000-000000000000"
PATH = "/schedules/batches"
NEW = {"name": "Letters", "agentId": "writer", "items": [{"key": "ada", "message": "Hello Ada"}]}
LONG = "x" * 262_145
# So many are written in several transactions.
LINES = 3000


@pytest.fixture
def settings(settings):
    return replace(settings, batch_items=LINES + 1)


@pytest.fixture(autouse=True)
def writer(app):
    return make_agent("writer")


def left():
    """How much there is of batches."""
    return tuple(table.select().count() for table in (Batch, BatchProgress, BatchItem))


NOTHING = (0, 0, 0)


def is_refused(response, status):
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    return response.json["status"] == status


def item(**wrong):
    return {"items": [NEW["items"][0], {"message": "Hello Alan"} | wrong]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(
            ({"name": value}, "name")
            for value in ("", " \n", "x" * 201, None, 7, [], "\0", "\ud800")
        ),
        *(({"agentId": value}, "agentId") for value in ("", "nobody", "x" * 65, None, {}, "a\0")),
        *(({"compute": value}, "compute") for value in ("", "moon", "LOCAL", None, 1, "\udfff")),
        *(({"maxConcurrency": value}, "maxConcurrency") for value in (0, 100_001, 1.5, "7", True)),
        *(({"budgetUsd": value}, "budgetUsd") for value in (0, -1, 1e-7, 10_000_001, "5", True)),
        *(({"timeoutSeconds": value}, "timeoutSeconds") for value in (0, 86_401, 0.5, "60", {})),
        *(({"maxAttempts": value}, "maxAttempts") for value in (0, 21, 10**29, None, "3", False)),
        *(({"retryBackoffSeconds": value}, "retryBackoffSeconds") for value in (-1, 86_401, None)),
        *(({"priority": value}, "priority") for value in (-1, 10, 1e300, None, "9", [])),
        *(({"deadline": value}, "deadline") for value in ("", "tomorrow", "2027-01-01", 1.8e9)),
        *(({"deadline": value}, "deadline") for value in ("2027-02-30T00:00:00Z", "9999-12-31")),
        ({"deadline": "2027-01-01T00:00:00"}, "deadline"),
        ({"deadline": "0001-01-01T00:00:00+14:00"}, "deadline"),
        ({"deadline": "2026-11-22T12:00:00Z"}, "deadline"),
        ({"deadline": "2026-11-22T13:00:00+01:00"}, "deadline"),
        *(({"notifyAgentId": value}, "notifyAgentId") for value in ("", "nobody", "x" * 65, 7)),
        *(({"dryRun": value}, "dryRun") for value in ("true", 1, None)),
        *(({"items": value}, "items") for value in ([], None, {}, "x", 7, {"message": "Hello"})),
        *(({"items": [value]}, "items.0") for value in (None, [], "Hello", 7)),
        *((item(message=value), "items.1.message") for value in ("", " ", None, 7, [], LONG)),
        *(
            (item(message=value), "items.1.message")
            for value in ("\u00e9" * 131_073, "\0", "\ud800")
        ),
        *((item(key=value), "items.1.key") for value in ("", "k" * 256, 7, [], "ada", "\0")),
        *((item(metadata=value), "items.1.metadata") for value in (None, [], "x", {"\0": 1})),
        (item(metadata={"a": ["b", "\udc00"]}), "items.1.metadata.a.1"),
        (item(massage="Hello"), "items.1.massage"),
        ({"items": [{}]}, "items.0.message"),
        ({"id": UNKNOWN}, "id"),
        ({"retryOf": UNKNOWN}, "retryOf"),
        ({"status": "RUNNING"}, "status"),
        ({"template": "Hello"}, "template"),
        ({"agent_id": "writer"}, "agent_id"),
        ({"__proto__": 1}, "__proto__"),
        ({"\0": 1}, "body"),
    ],
    ids=lambda each: repr(each)[:60],
)
def test_a_wrong_value_is_refused_by_name_and_leaves_nothing(operator, wrong, field):
    response = operator.post(PATH, NEW | wrong)

    assert is_refused(response, 422)
    assert list(response.json["errors"]) == [field]
    assert all(isinstance(text, str) for text in response.json["errors"][field])
    assert left() == NOTHING


def test_all_that_is_wrong_is_said_at_once(operator):
    wrong = {"name": "", "priority": 10, "items": [{"message": ""}, {"key": 7}, None]}

    response = operator.post(PATH, wrong)

    assert response.json["errors"] == {
        "name": ["Give a text of 1 to 200 characters.", "Must not be blank."],
        "agentId": ["Must be given."],
        "priority": ["Give a whole number from 0 to 9."],
        "items.0.message": ["Give a text of 1 to 262,144 characters.", "Must not be blank."],
        "items.1.key": ["Give a text."],
        "items.1.message": ["Must be given."],
        "items.2": ["Give a JSON object."],
    }


def test_who_and_where_and_when_are_said_at_once(operator):
    wrong = {"agentId": "a", "notifyAgentId": "b", "compute": "c", "deadline": NOON.isoformat()}

    response = operator.post(PATH, NEW | wrong)

    assert is_refused(response, 422)
    assert sorted(response.json["errors"]) == sorted(wrong)
    assert left() == NOTHING


def test_of_no_more_items_it_is_said_what_is_wrong_than_anybody_would_read(operator):
    response = operator.post(PATH, NEW | {"items": [{"message": ""}] * 1000})

    assert list(response.json["errors"]) == [f"items.{index}.message" for index in range(20)]


def test_a_key_that_is_given_twice_is_named_with_both_its_places(operator):
    items = [{"key": f"key-{index}", "message": "Hello"} for index in range(3000)]

    response = operator.post(PATH, NEW | {"items": [*items, {"key": "key-7", "message": "Hello"}]})

    says = "It has the key of item 7; keys are unique in a batch."
    assert response.json["errors"] == {"items.3000.key": [says]}
    assert left() == NOTHING


@pytest.mark.parametrize("gone", [{"enabled": False}, {"deleted_at": NOON, "enabled": False}])
def test_an_agent_that_may_not_be_run_takes_no_batch(operator, gone):
    Agent.update(**gone).where(Agent.id == "writer").execute()

    response = operator.post(PATH, NEW)

    assert is_refused(response, 422 if "deleted_at" in gone else 409)
    assert "writer" in response.get_data(as_text=True)
    assert left() == NOTHING


def test_a_profile_that_was_deleted_takes_no_batch(operator, admin):
    admin.post("/compute-profiles", {"id": "spot"})
    ComputeProfile.update(deleted_at=NOON).where(ComputeProfile.id == "spot").execute()

    response = operator.post(PATH, NEW | {"compute": "spot"})

    assert is_refused(response, 422)
    assert response.json["errors"] == {
        "compute": ["There is no compute profile 'spot'; use local."]
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe{\x00}\x00",
        b'{"budgetUsd": NaN}',
        b'{"budgetUsd": -Infinity}',
        b'{"budgetUsd": 1e400}',
        b'{"maxAttempts": ' + b"9" * 31 + b"}",
        b'{"items": [], "items": []}',
        b'{"items": [{"message": "a", "metadata": {"b": 1, "b": 1}}]}',
        b'{"items": ' + b"[" * 100_000,
        b'{"items": [{"message": "a", "metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 68,
        b'{"name": "\x01"}',
        b"{} {}",
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_what_is_no_sound_json_is_refused(operator, body):
    assert is_refused(operator.post(PATH, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"7", b'[{"message": "Hello"}]'])
def test_json_that_is_no_object_is_refused(operator, body):
    response = operator.post(PATH, data=body, content_type="application/json")

    assert is_refused(response, 422)
    assert list(response.json["errors"]) == ["body"]


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonl", "text/csv"],
)
def test_what_is_neither_json_nor_a_form_is_refused(operator, content_type):
    response = operator.post(PATH, data=json.dumps(NEW), content_type=content_type)

    assert is_refused(response, 415)
    assert left() == NOTHING


def test_a_body_beyond_the_limit_is_refused(operator):
    response = operator.post(PATH, NEW | {"items": [{"message": "x" * 200_000}] * 6})

    assert is_refused(response, 413)
    assert "1,048,576 bytes are the limit" in response.json["detail"]
    assert left() == NOTHING


ROUTES = [
    *(("GET", path) for path in ("", "/items", "/results", "/results?format=csv", "/events")),
    *(("POST", path) for path in ("/cancel", "/pause", "/resume", "/retry-failed")),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_does_not_exist_is_not_found(operator, method, path):
    response = operator(method, f"{PATH}/{UNKNOWN}{path}")

    assert is_refused(response, 404)
    assert response.json["detail"] == f"There is no batch {UNKNOWN}."


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_still_coming_in_is_not_found(operator, method, path):
    batch = make_batch("writer", accepted_at=None)

    assert is_refused(operator(method, f"{PATH}/{batch.id}{path}"), 404)
    assert operator.get(PATH).json["totalElements"] == 0
    assert Batch.get_by_id(batch.id).status is BatchStatus.QUEUED


@pytest.mark.parametrize("bad", ["not-a-uuid", "%00", "0" * 2000, "%ff", "..%2f..", "1", "{id}0"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_path_that_names_no_batch_leads_nowhere(operator, method, path, bad):
    assert is_refused(operator(method, f"{PATH}/{bad.format(id=UNKNOWN)}{path}"), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", ""), ("GET", "/pause")],
)
def test_a_method_that_is_not_served_is_refused(operator, method, path):
    batch = make_batch("writer")

    assert is_refused(operator(method, f"{PATH}/{batch.id}{path}"), 405)
    assert left() == (1, 1, 3)


def test_a_viewer_may_look_at_batches_and_no_more(viewer):
    batch = make_batch("writer", status=BatchStatus.COMPLETED, finished_at=NOON)
    reads = [path for method, path in ROUTES if method == "GET"]
    moves = [path for method, path in ROUTES if method == "POST"]

    for path in reads:
        with viewer.get(f"{PATH}/{batch.id}{path}") as response:
            assert response.status_code == 200
    for path in moves:
        assert is_refused(viewer.post(f"{PATH}/{batch.id}{path}"), 403)
    assert is_refused(viewer.post(PATH, NEW), 403)
    assert is_refused(viewer.post(PATH, data=upload(CSV), content_type=TYPE), 403)
    assert is_refused(viewer.post(PATH, NEW | {"dryRun": True}), 403)
    assert left() == (1, 1, 3)


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("POST", None), ("GET", None)])
def test_without_a_token_nobody_learns_whether_there_is_a_batch(anyone, method, path):
    batch = make_batch("writer")

    response = anyone(method, PATH if path is None else f"{PATH}/{batch.id}{path}")

    assert is_refused(response, 401)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_whoever_may_change_schedules_may_submit_batches(client_of, role):
    assert client_of(role).post(PATH, NEW).status_code == 202


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("", "status=DONE", "status"),
        ("", "status=queued", "status"),
        ("", "status=QUEUED&status=", "status"),
        ("", "status=QUEUED,RUNNING", "status"),
        ("", "status=SKIPPED", "status"),
        ("", "sort=cost", "sort"),
        ("", "sort=name,up", "sort"),
        ("", "sort=name;DROP TABLE batch", "sort"),
        ("", "sort=b.name", "sort"),
        ("", "sort=name&sort=priority", "sort"),
        ("", "agentId=", "agentId"),
        ("", "agentId=" + "x" * 65, "agentId"),
        ("", "compute=%00", "compute"),
        ("", "q=", "q"),
        ("", "q=" + "x" * 201, "q"),
        ("", "from=yesterday", "from"),
        ("", "to=2027-01-01T00:00:00", "to"),
        ("", "page=-1", "page"),
        ("", "page=1e3", "page"),
        ("", "page=" + "9" * 5000, "page"),
        ("", "page=1000000&size=200", "page"),
        ("", "size=0", "size"),
        ("", "size=201", "size"),
        ("", "dryRun=true", "dryRun"),
        ("/items", "status=done", "status"),
        ("/items", "status=", "status"),
        ("/items", "sort=index", "sort"),
        ("/items", "key=ada", "key"),
        ("/items", "size=201", "size"),
        ("/items", "page=1000000&size=200", "page"),
        ("/results", "format=xml", "format"),
        ("/results", "format=CSV", "format"),
        ("/results", "format=", "format"),
        ("/results", "format=csv&format=csv", "format"),
        ("/results", "page=0", "page"),
        ("/results", "status=FAILED", "status"),
    ],
    ids=lambda each: each[:40],
)
def test_a_query_that_makes_no_sense_names_its_field(viewer, path, query, field):
    if path:
        path = f"/{make_batch('writer').id}{path}"

    response = viewer.get(f"{PATH}{path}?{query}")

    assert is_refused(response, 422)
    assert list(response.json["errors"]) == [field]


@pytest.mark.parametrize("query", ["q=%25", "q=_", "q=%5C", "q='; DROP TABLE batch;--"])
def test_what_is_searched_for_is_taken_as_it_is(viewer, query):
    make_batch("writer")

    response = viewer.get(f"{PATH}?{query}")

    assert response.status_code == 200
    assert response.json["totalElements"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"budgetUsd": 0}', 422),
        (b'{"budgetUsd": -1}', 422),
        (b'{"budgetUsd": "5"}', 422),
        (b'{"budgetUsd": true}', 422),
        (b'{"budgetUsd": 10000001}', 422),
        (b'{"budgetUsd": 0.0000001}', 422),
        (b'{"budget": 5}', 422),
        (b"[]", 422),
        (b'{"budgetUsd": NaN}', 400),
        (b"nonsense", 400),
    ],
)
def test_a_pause_does_not_end_by_a_wrong_word(operator, body, status):
    paused = {"status": BatchStatus.PAUSED, "reason": BatchReason.BUDGET_SPENT}
    batch = make_batch("writer", budget_usd=1, **paused)

    response = operator.post(
        f"{PATH}/{batch.id}/resume", data=body, content_type="application/json"
    )

    assert is_refused(response, status)
    assert Batch.get_by_id(batch.id).status is BatchStatus.PAUSED


def test_a_pause_does_not_end_by_what_is_not_said_to_be_json(operator):
    paused = {"status": BatchStatus.PAUSED, "reason": BatchReason.PAUSED_BY_REQUEST}
    batch = make_batch("writer", **paused)

    response = operator.post(f"{PATH}/{batch.id}/resume", data=b"{}", content_type="text/plain")

    assert is_refused(response, 415)
    assert Batch.get_by_id(batch.id).status is BatchStatus.PAUSED


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\t", "\u00e9"])
def test_a_key_that_is_none_is_refused(operator, key):
    response = operator.post(PATH, NEW, headers={"Idempotency-Key": key})

    assert is_refused(response, 422)
    assert list(response.json["errors"]) == ["Idempotency-Key"]
    assert left() == NOTHING


TYPE = "multipart/form-data; boundary=frontier"
CSV = "key,message\n" + "".join(f"{n},Hello {n}\n" for n in range(LINES))
JSONL = "".join(json.dumps({"key": f"{n}", "message": f"Hello {n}"}) + "\n" for n in range(LINES))


def upload(content, filename="rows.csv", **fields):
    fields = {"name": "Letters", "agentId": "writer"} | fields
    parts = [(f'name="{name}"', value) for name, value in fields.items()]
    parts.append((f'name="items"; filename="{filename}"', content))
    written = "".join(
        f"--frontier\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n"
        for head, value in parts
    )
    return written.encode() + b"--frontier--\r\n"


@pytest.mark.parametrize(
    ("content", "filename", "line", "sentence"),
    [
        (CSV + "x,\n", "rows.csv", 3002, "Its message is blank."),
        (CSV + "7,Again\n", "rows.csv", 3002, "It has the key of line 9; keys are unique"),
        (CSV + "x\n", "rows.csv", 3002, "It has 1 columns, and the first line has 2."),
        (CSV + 'x,"Hello\n', "rows.csv", 3002, "It is not CSV"),
        (CSV + "x,\0\n", "rows.csv", 3002, "Remove the NUL or lone surrogate from it."),
        (JSONL + "{", "rows.jsonl", 3001, "It is not JSON"),
        (
            JSONL + '{"key": "7", "message": "Again"}',
            "rows.jsonl",
            3001,
            "It has the key of line 8",
        ),
        (JSONL + '{"message": "\\udc00"}', "rows.jsonl", 3001, "Remove the NUL or lone surrogate"),
    ],
    ids=lambda each: str(each)[-40:],
)
def test_a_file_whose_last_line_is_wrong_leaves_nothing(
    operator, monkeypatch, content, filename, line, sentence
):
    written = watched(monkeypatch)

    response = operator.post(PATH, data=upload(content, filename), content_type=TYPE)

    assert is_refused(response, 422)
    ((field, (says,)),) = response.json["errors"].items()
    assert field == f"items.line {line}"
    assert says.startswith(sentence)
    assert max(written) >= 2000
    assert left() == NOTHING
    assert not AuditEvent.select().where(AuditEvent.action == "batch.create").exists()


def watched(monkeypatch):
    """How many items there were each time that some more had been written."""
    counts = []
    still_there = submission._still_there

    def counting(batch_id, now):
        still_there(batch_id, now)
        counts.append(BatchItem.select().count())

    monkeypatch.setattr(submission, "_still_there", counting)
    return counts


class Sending(BytesIO):
    """A body that comes in, and calls *meanwhile* when half of it has."""

    def __init__(self, body, meanwhile):
        super().__init__(body)
        self._meanwhile, self._half = meanwhile, len(body) // 2

    def readinto(self, buffer):
        if self.tell() >= self._half and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().readinto(buffer)


# Several pieces long, so that much of it has been written before the rest comes in.
LONG_CSV = "key,message\n" + "".join(f"{n},{'Hello ' * 20}{n}\n" for n in range(LINES))


def send(client, meanwhile, body=None):
    body = Sending(upload(LONG_CSV) if body is None else body, meanwhile)
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_TYPE": TYPE}
    return client.post(PATH, environ_overrides={**environ, "HTTP_TRANSFER_ENCODING": "chunked"})


def test_nobody_sees_a_batch_whose_items_are_still_coming_in(operator):
    seen = []

    def look():
        batch = Batch.get()
        seen.append(left())
        with pytest.raises(NotFound):
            moves.get(batch.id)
        with pytest.raises(NotFound):
            view.get(batch.id, now=NOON)

    response = send(operator, look)

    assert response.status_code == 202
    ((_, _, items),) = seen
    assert 1000 <= items < LINES
    assert left() == (1, 1, LINES)


@pytest.mark.parametrize("error", [OSError("gone"), ConnectionResetError()])
def test_a_client_that_goes_away_in_the_middle_leaves_nothing(operator, error):
    seen = []

    def go_away():
        seen.append(left())
        raise error

    response = send(operator, go_away)

    assert is_refused(response, 400)
    assert seen[0][2] >= 1000
    assert left() == NOTHING


@pytest.mark.parametrize("terminated", [True, False])
def test_a_client_that_sends_less_than_it_said_leaves_nothing(operator, monkeypatch, terminated):
    written = watched(monkeypatch)
    body = upload(LONG_CSV)
    environ = {"wsgi.input": BytesIO(body[:-5000]), "CONTENT_LENGTH": str(len(body))}
    environ |= {"wsgi.input_terminated": True} if terminated else {}

    response = operator.post(PATH, environ_overrides={**environ, "CONTENT_TYPE": TYPE})

    assert is_refused(response, 400)
    assert max(written) >= 1000
    assert left() == NOTHING


def test_a_failure_of_ours_in_the_middle_leaves_nothing(operator):
    def fail():
        assert left()[2] >= 1000
        raise RuntimeError("Nobody expected this.")

    response = send(operator, fail)

    assert is_refused(response, 500)
    assert left() == NOTHING


def test_an_agent_that_is_disabled_while_items_come_in_takes_no_batch(operator):
    response = send(operator, lambda: Agent.update(enabled=False).execute())

    assert is_refused(response, 409)
    assert left() == NOTHING


def test_a_batch_that_took_too_long_to_come_in_is_to_be_sent_again(operator):
    def discard():
        Batch.update(received_at=NOON - 2 * submission.ABANDONED_AFTER).execute()
        submission.discard_abandoned(NOON)

    response = send(operator, discard)

    assert is_refused(response, 409)
    assert "send it again" in response.json["detail"]
    assert left() == NOTHING


def test_nothing_is_left_of_a_second_upload_with_the_same_key(operator, monkeypatch):
    headers = {"Idempotency-Key": "march"}
    first = operator.post(PATH, data=upload(CSV), content_type=TYPE, headers=headers)
    written = watched(monkeypatch)

    second = operator.post(PATH, data=upload(CSV), content_type=TYPE, headers=headers)

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json["id"] == first.json["id"]
    assert max(written) > LINES
    assert left() == (1, 1, LINES)


def test_a_dry_run_of_a_wrong_file_says_so_and_of_a_sound_one_makes_nothing(operator):
    def dry_run(content):
        return operator.post(PATH, data=upload(content, dryRun="true"), content_type=TYPE)

    sound, wrong = dry_run(CSV), dry_run(CSV + "x,\n")

    assert (sound.status_code, sound.json["items"]) == (200, LINES)
    assert is_refused(wrong, 422)
    assert list(wrong.json["errors"]) == ["items.line 3002"]
    assert left() == NOTHING


def test_a_file_of_more_items_than_are_allowed_leaves_nothing(operator, monkeypatch):
    written = watched(monkeypatch)

    response = operator.post(PATH, data=upload(CSV + ",One\n,Two\n"), content_type=TYPE)

    assert is_refused(response, 422)
    assert response.json["errors"] == {"items": ["Send at most 3,001 items in one batch."]}
    assert max(written) >= 2000
    assert left() == NOTHING


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ITEM = st.fixed_dictionaries(
    {"message": st.text() | ANY_JSON}, optional={"key": ANY_JSON, "metadata": ANY_JSON}
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=250) | ANY_JSON,
        "agentId": st.just("writer") | ANY_JSON,
        "compute": st.just("local") | ANY_JSON,
        "maxConcurrency": st.integers() | ANY_JSON,
        "budgetUsd": st.floats(-1e9, 1e9) | st.text(),
        "timeoutSeconds": st.integers() | ANY_JSON,
        "maxAttempts": st.integers() | ANY_JSON,
        "retryBackoffSeconds": ANY_JSON,
        "priority": st.integers(0, 9) | ANY_JSON,
        "deadline": st.datetimes().map(lambda at: f"{at.isoformat()}+14:00") | ANY_JSON,
        "notifyAgentId": st.just("writer") | ANY_JSON,
        "dryRun": ANY_JSON,
        "items": st.lists(ITEM, max_size=3) | ANY_JSON,
    },
)


@given(body=ALMOST.map(lambda wrong: NEW | wrong) | ANY_JSON)
@trying(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_body_is_ever_our_fault(operator, body):
    before = left()

    response = operator.post(PATH, data=json.dumps(body), content_type="application/json")

    assert response.status_code in {200, 202, 400, 422}
    if response.status_code == 202:
        read = operator.get(f"{PATH}/{response.json['id']}")
        assert read.json == response.json
        items = operator.get(f"{PATH}/{response.json['id']}/items").json["content"]
        assert [each["message"] for each in items] == [each["message"] for each in body["items"]]
        assert [each["key"] for each in items] == [each.get("key") for each in body["items"]]
    else:
        assert left() == before
