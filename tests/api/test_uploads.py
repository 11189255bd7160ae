"""Uploads: a form of a few texts and a file, cut, broken and stuffed by whoever sends it."""

import json
import tracemalloc
from dataclasses import replace
from itertools import repeat

import pytest
from factories import make_agent
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from shared.batches.models import Batch, BatchItem, BatchProgress

PATH = "/schedules/batches"
LIMIT = 16 * 1024 * 1024
PIECE = 64 * 1024

NAME, AGENT = ("name", "Letters"), ("agentId", "writer")
FILE = ("items", "key,message\nada,Hello Ada\nalan,Hello Alan\n", "rows.csv")
SOUND = (NAME, AGENT, FILE)


@pytest.fixture
def settings(settings):
    return replace(settings, upload_limit=LIMIT)


@pytest.fixture(autouse=True)
def writer(app):
    return make_agent("writer")


def form(*parts, boundary="frontier"):
    """The parts as they are sent, each of a name, what is in it and perhaps a file's name."""
    written = b""
    for name, content, *filename in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        head += "".join(f'; filename="{each}"' for each in filename)
        content = content if isinstance(content, bytes) else content.encode()
        written += head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return written + f"--{boundary}--\r\n".encode()


def open_form(*parts):
    """The form up to the end of what is in its last part."""
    return form(*parts).removesuffix(b"\r\n--frontier--\r\n")


def typed(boundary="frontier"):
    return f"multipart/form-data; boundary={boundary}"


def send(client, *parts, key=None, **options):
    headers = {} if key is None else {"Idempotency-Key": key}
    options = {"data": form(*parts), "content_type": typed()} | options
    return client.post(PATH, headers=headers, **options)


class Sending:
    """A body in chunks, as a server hands it on while it comes in; it says how much was read."""

    def __init__(self, pieces):
        self._pieces = iter(pieces)
        self._rest = b""
        self.read_bytes = 0

    def read(self, size):
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        given, self._rest = self._rest[:size], self._rest[size:]
        self.read_bytes += len(given)
        return given


def send_in_chunks(client, body):
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_TYPE": typed()}
    environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    return client.post(PATH, environ_overrides=environ)


def is_refused(response, status, field=None):
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert [each.select().count() for each in (Batch, BatchProgress, BatchItem)] == [0, 0, 0]
    if field is not None:
        assert list(response.json["errors"]) == [field]
    return True


@pytest.mark.parametrize(
    ("parts", "field", "sentence"),
    [
        ((NAME, FILE, AGENT), "agentId", "Must be given, before the file."),
        ((*SOUND, ("template", "Hi")), "template", "Put it before the file."),
        ((*SOUND, FILE), "items", "Put it before the file."),
        ((*SOUND, ("", "")), "body", "Put it before the file."),
        ((NAME, AGENT), "items", "Send it as a file"),
        ((), "items", "Send it as a file"),
        ((NAME, AGENT, ("items", "message\nHello\n")), "items", "Send it as a file"),
        ((NAME, AGENT, ("file", *FILE[1:])), "file", "The one file to send is called 'items'."),
        ((NAME, AGENT, ("name", "a", "name.txt")), "name", "Give it once."),
        ((NAME, AGENT, ("Items", *FILE[1:])), "Items", "The one file to send is called 'items'."),
        ((NAME, AGENT, NAME, FILE), "name", "Give it once."),
        ((("name", "a", "a.txt"), AGENT, FILE), "name", "The one file to send is called 'items'."),
        ((("name", b"Gr\xfc\xdfe"), AGENT, FILE), "name", "Give text in UTF-8."),
        ((("name", b"\xed\xa0\x80"), AGENT, FILE), "name", "Give text in UTF-8."),
        ((("name", "a\0b"), AGENT, FILE), "name", "Remove the NUL."),
        ((("name", " \t"), AGENT, FILE), "name", "Must not be blank."),
        ((NAME, ("agentId", ""), FILE), "agentId", "Give a text of 1 to 64 characters."),
        ((NAME, ("agentId", "nobody"), FILE), "agentId", "There is no agent 'nobody'"),
        ((*SOUND[:2], ("agent_id", "writer"), FILE), "agent_id", "There is no such field."),
        ((*SOUND[:2], ("a\0", "x"), FILE), "a\0", "There is no such field."),
        ((*SOUND[:2], ("__class__", "x"), FILE), "__class__", "There is no such field."),
        ((*((f"f{n}", "") for n in range(51)), FILE), "f50", "Give at most 50 fields."),
        ((NAME, ("template", "x" * 65_537), FILE), "template", "Give a text of 1 to 65,536"),
        ((NAME, ("a", "x" * 524_282), FILE), "a", "All fields together may have 524,288 bytes."),
        ((("a", "x" * 300_000), ("b", "x" * 300_000)), "b", "All fields together may have"),
        ((NAME, AGENT, ("items", "", "rows.csv")), "items", "There is no item in the file."),
        ((NAME, AGENT, ("items", "a", "rows.csv.exe")), "items", "Name the file .csv or .jsonl"),
        ((NAME, AGENT, ("items", "a", "")), "items", "Name the file .csv or .jsonl"),
        ((NAME, AGENT, ("items", "a", "." * 9999)), "items", "Name the file .csv or .jsonl"),
    ],
    ids=lambda each: str(each)[-60:],
)
def test_a_form_that_will_not_do_names_the_field(operator, parts, field, sentence):
    response = send(operator, *parts)

    assert is_refused(response, 422)
    assert response.json["errors"][field][0].startswith(sentence)


HEAD = b"--frontier\r\nContent-Disposition: form-data; "


@pytest.mark.parametrize(
    "body",
    [
        b"--frontier",
        b"key,message\nada,Hello\n",
        form(*SOUND, boundary="another"),
        form(*SOUND).replace(b"--frontier", b"-frontier"),
        HEAD + b"\r\n\r\nx\r\n--frontier--\r\n",
        HEAD.replace(b"form-data; ", b'form-data; filename="a.csv"') + b"\r\n\r\nx\r\n--frontier--",
        b"--frontier\r\nContent-Type: text/csv\r\n\r\nx\r\n--frontier--\r\n",
        b"--frontier\r\n\r\nx\r\n--frontier--\r\n",
        HEAD + b'name="\xff"\r\n\r\nx\r\n--frontier--\r\n',
        HEAD + b'name="name"\r\nX: ' + b"x" * 200_000 + b"\r\n\r\nx\r\n--frontier--\r\n",
        b"x" * 200_000 + form(*SOUND),
        form(*SOUND) + b"x" * 200_000,
    ],
    ids=lambda body: f"{body[:60]!r} of {len(body)}",
)
def test_what_is_no_sound_form_cannot_be_read(operator, body):
    assert is_refused(send(operator, data=body), 400)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=\u00e9",
        "multipart/form-data; boundary*=utf-8''%ED%A0%80",
        "multipart/form-data; Boundary=front%69er",
        "multipart/form-data; boundary=frontie",
        "multipart/form-data; boundary=(((((",
    ],
)
def test_without_its_boundary_a_form_cannot_be_read(operator, content_type):
    assert is_refused(send(operator, *SOUND, content_type=content_type), 400)


@pytest.mark.parametrize("boundary", ['"a+b (c)?"', '"--"', '".*"', "x" * 200])
def test_any_boundary_will_do_that_is_said(operator, boundary):
    body = form(*SOUND, boundary=boundary.strip('"'))

    response = send(operator, data=body, content_type=typed(boundary))

    assert response.status_code == 202


@pytest.mark.parametrize("media_type", ["multipart/mixed", "text/csv", "application/jsonl"])
def test_what_is_not_said_to_be_a_form_is_refused(operator, media_type):
    assert is_refused(send(operator, *SOUND, content_type=f"{media_type}; boundary=frontier"), 415)


def test_a_form_that_is_broken_off_anywhere_leaves_nothing(operator):
    body = form(*SOUND)
    last = len(body) - len("\r\n") - 1

    for length in {*range(0, last, 11), last}:
        assert is_refused(send(operator, data=body[: length or 1]), 400)
        assert is_refused(send_in_chunks(operator, Sending([body[:length]])), 400)

    assert send(operator, data=body[: last + 1]).status_code == 202
    assert send_in_chunks(operator, Sending([body[: last + 1]])).status_code == 202


@pytest.mark.parametrize("error", [OSError("chunk"), ConnectionResetError(), ValueError("size")])
def test_a_body_of_chunks_that_breaks_off_leaves_nothing(operator, error):
    def breaking_off():
        yield form(*SOUND)[:-20]
        raise error

    response = send_in_chunks(operator, Sending(breaking_off()))

    assert is_refused(response, 400)
    assert "broke off" in response.json["detail"]


def test_a_form_beyond_the_limit_is_refused_before_it_is_sent(operator):
    body = Sending([form(*SOUND)])
    environ = {"wsgi.input": body, "CONTENT_TYPE": typed(), "CONTENT_LENGTH": str(LIMIT + 1)}

    response = operator.post(PATH, environ_overrides=environ)

    assert is_refused(response, 413)
    assert "16,777,216 bytes are the limit" in response.json["detail"]
    assert body.read_bytes == 0


HEADER = open_form(NAME, AGENT, ("items", "message,key\n", "rows.csv"))


@pytest.mark.parametrize(
    "begins",
    [HEADER, b"", HEAD, HEAD + b'name="name"\r\n\r\n', form(*SOUND), form(NAME, FILE)],
    ids=["file", "preamble", "headers", "field", "epilogue", "wrong"],
)
def test_of_a_body_in_chunks_no_more_is_read_than_the_limit(operator, begins):
    def endless():
        yield begins
        yield from repeat(b"x" * 60_000 + b",\n")

    body = Sending(endless())

    response = send_in_chunks(operator, body)

    assert is_refused(response, 413)
    assert body.read_bytes == LIMIT


def test_the_limit_of_uploads_is_not_that_of_other_requests(operator):
    body = b" " * (1024 * 1024) + json.dumps({"name": "Letters"}).encode()

    assert send(operator, data=body, content_type="application/json").status_code == 413


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (b"", form(*SOUND)),
        (HEAD + b'name="name"\r\nX: ', b""),
        (HEAD + b'name="name"\r\n\r\n', b""),
        (form(*SOUND), b""),
        (form(NAME, AGENT, ("a", ""), FILE), b""),
        (HEADER + b'"', b""),
        (open_form(NAME, AGENT, ("items", "{", "rows.jsonl")), b""),
    ],
    ids=["preamble", "headers", "field", "epilogue", "wrong field", "row", "line"],
)
def test_no_part_of_a_form_is_kept_in_memory(operator, begins, ends):
    def long():
        yield begins
        yield from repeat(b"x" * PIECE, 200)
        yield ends

    body = Sending(long())
    tracemalloc.start()
    try:
        response = send_in_chunks(operator, body)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert response.status_code in {400, 422}
    # All of it is read nonetheless: who is still sending would not hear the answer.
    assert body.read_bytes == len(begins) + 200 * PIECE + len(ends)
    assert most < 4 * 1024 * 1024


def test_the_same_form_with_the_same_key_makes_one_batch_however_it_is_cut(operator):
    first = send(operator, *SOUND, key="march")
    second = send(
        operator,
        data=b"preamble\r\n" + form(*SOUND, boundary="x-y-z") + b"epilogue",
        content_type=typed("x-y-z"),
        key="march",
    )

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json["id"] == first.json["id"]
    assert Batch.select().count() == 1
    assert BatchItem.select().count() == 2


@pytest.mark.parametrize(
    "parts",
    [
        (NAME, AGENT, ("items", "key,message\nada,Hello Ada\nalan,Hello Alan!\n", "rows.csv")),
        (NAME, AGENT, ("items", FILE[1] + "\n", "rows.csv")),
        (("name", "Other letters"), AGENT, FILE),
        (NAME, AGENT, ("priority", "5"), FILE),
        # What one field ends with is what the next one begins with.
        (("name", "Letter"), ("agentId", "writer"), ("template", "sHello"), FILE),
    ],
)
def test_another_form_with_the_same_key_is_refused_and_leaves_nothing(operator, parts):
    made = send(operator, *SOUND, key="march").json["id"]

    response = send(operator, *parts, key="march")

    assert response.status_code == 422
    assert "Idempotency-Key" in response.json["errors"]
    assert [str(batch.id) for batch in Batch.select()] == [made]
    assert BatchItem.select().count() == 2


def test_what_moves_from_one_field_to_the_next_makes_another_form(operator):
    one = (("name", "ab"), AGENT, ("template", "c"), FILE)
    other = (("name", "a"), AGENT, ("template", "bc"), FILE)

    assert send(operator, *one, key="march").status_code == 202
    assert send(operator, *other, key="march").status_code == 422


@pytest.mark.parametrize("part", [("name", "x" * 201), ("agentId", "nobody"), ("dryRun", "no")])
def test_what_is_wrong_in_a_field_is_said_whatever_the_file(operator, part):
    parts = [each for each in SOUND[:2] if each[0] != part[0]]

    response = send(operator, part, *parts, ("items", b"\xff", "rows.csv"))

    assert is_refused(response, 422, part[0])


def test_a_key_that_is_none_is_refused_before_the_file_is_read(operator):
    response = send(operator, *SOUND[:2], ("items", b"\xff", "rows.csv"), key="\u00e9")

    assert is_refused(response, 422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("maxConcurrency", "7", 7),
        ("maxConcurrency", " 7\n", 7),
        ("priority", "0", 0),
        ("priority", "09", 9),
        ("budgetUsd", "12.5", 12.5),
        ("budgetUsd", "12", 12),
        ("budgetUsd", "0.000001", 0.000001),
        ("timeoutSeconds", "86400", 86_400),
        ("maxAttempts", "1", 1),
        ("retryBackoffSeconds", "0", 0),
        ("name", "007", "007"),
        ("name", "true", "true"),
        ("deadline", "2027-01-31T08:00:00+01:00", "2027-01-31T07:00:00Z"),
        ("notifyAgentId", "writer", "writer"),
    ],
)
def test_numbers_are_texts_in_a_form_and_texts_stay_texts(operator, name, text, value):
    parts = [part for part in SOUND if part[0] != name]

    response = send(operator, (name, text), *parts)

    assert response.status_code == 202
    assert response.json[name] == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("maxConcurrency", text)
            for text in ("", "0", "-1", "1.5", "7.0", "1e3", "0x7", "\u0667", "seven", "1 000")
        ),
        *(("maxConcurrency", text) for text in ("9" * 18, "9" * 19, "9" * 9999, "+7", "null")),
        *(("budgetUsd", text) for text in ("NaN", "Infinity", "-1", "0", "1e400", "1,5", "1.", "")),
        *(("budgetUsd", text) for text in ("9" * 18, "0." + "0" * 17 + "1", "0.0000001")),
        *(("dryRun", text) for text in ("True", "yes", "1", "0", "", "null")),
        *(("priority", text) for text in ("10", "true")),
        *(("delimiter", text) for text in ("", "x", ",,", "\n", '"', "\\t")),
        *(("deadline", text) for text in ("", "tomorrow", "2026-11-22T12:00:00Z", "1800000000")),
        *(("template", text) for text in ("", " \n", "{{ nobody }}")),
        *(("compute", text) for text in ("", "moon", "x" * 65)),
        *(("notifyAgentId", text) for text in ("", "nobody")),
        *(("retryOf", text) for text in ("", "x")),
    ],
)
def test_a_wrong_text_in_a_form_is_refused_by_name(operator, name, text):
    response = send(operator, (name, text), *SOUND)

    assert is_refused(response, 422, name)


@pytest.mark.parametrize(("text", "status"), [("true", 200), (" true ", 200), ("false", 202)])
def test_flags_are_texts_in_a_form(operator, text, status):
    response = send(operator, ("dryRun", text), *SOUND)

    assert response.status_code == status
    assert Batch.select().count() == (status == 202)


def test_a_dry_run_reads_the_file_to_its_end(operator):
    wrong = ("items", FILE[1] + "ada,Again\n", "rows.csv")

    response = send(operator, NAME, AGENT, ("dryRun", "true"), wrong)

    assert is_refused(response, 422, "items.line 4")


@pytest.mark.parametrize(
    "filename", ["ROWS.CSV", "../../etc/passwd.csv", "a b;.csv", "\u00fc.csv", "csv", "x.jsonl.csv"]
)
def test_a_file_is_called_whatever_its_sender_likes(operator, filename):
    assert send(operator, NAME, AGENT, (*FILE[:2], filename)).status_code == 202


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 12),
        st.binary(max_size=8)
        | st.sampled_from(
            [b"\r\n", b"\n", b"\r", b"--frontier", b"--frontier--", b'"', b"\0", b";"]
        )
        | st.sampled_from([b"name=", b"filename=", b"*=utf-8''%ff", b"Content-Type: ", b"dryRun"]),
    ),
    min_size=1,
    max_size=4,
)


@given(changes=CHANGES, in_chunks=st.booleans())
@trying(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_form_is_ever_our_fault_and_what_is_not_taken_leaves_nothing(
    operator, changes, in_chunks
):
    body = form(*SOUND)
    for start, length, new in changes:
        body = body[:start] + new + body[start + length :]
    before = Batch.select().count(), BatchItem.select().count()

    if in_chunks:
        response = send_in_chunks(operator, Sending(body[n : n + 1] for n in range(len(body))))
    else:
        response = send(operator, data=body)

    assert response.status_code in {200, 202, 400, 422}
    if response.status_code != 202:
        assert (Batch.select().count(), BatchItem.select().count()) == before
