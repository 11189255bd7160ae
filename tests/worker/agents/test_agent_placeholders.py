import json
from functools import partial

import pytest

from shared.states import ErrorCode
from worker.agents.placeholders import Redactor, expand, redact, well_formed
from worker.agents.protocol import AgentError


def test_a_placeholder_becomes_its_secret():
    assert expand("Bearer ${secret:API_KEY}!", {"API_KEY": "abc"}) == "Bearer abc!"


def test_a_secret_that_looks_like_a_placeholder_is_left_alone():
    assert expand("${secret:A}", {"A": "${secret:B}", "B": "no"}) == "${secret:B}"


def test_an_unknown_secret_is_named():
    with pytest.raises(AgentError, match="no secret MISSING") as raised:
        expand("${secret:MISSING}", {"PRESENT": "hidden value"})

    assert raised.value.code is ErrorCode.REJECTED
    assert not raised.value.retryable
    assert "hidden value" not in str(raised.value)


@pytest.mark.parametrize("text", ["${secret:}", "${secret:a b}", "${secret:A", "${secret:Ä}"])
def test_a_placeholder_that_nothing_can_fill_is_not_well_formed(text):
    assert not well_formed(text)


def test_texts_without_secrets_are_well_formed():
    assert well_formed("$HOME ${PATH} ${secret:A}")


def test_a_secret_is_taken_out_wherever_it_shows():
    assert redact("key=sesame42, again sesame42", ["sesame42"]) == "key=***, again ***"


@pytest.mark.parametrize("quote", [json.dumps, partial(json.dumps, ensure_ascii=False), repr])
def test_a_secret_is_taken_out_however_it_is_quoted(quote):
    secret = 'sesame-"of\\the-Türen'

    assert "sesame" not in redact(quote(f"It is {secret}!"), [secret])
    assert "sesame" not in redact(quote(quote([secret])), [secret])


def test_a_secret_that_begins_with_another_leaves_nothing_behind():
    assert redact("sesame42-admin", ["sesame42", "sesame42-admin"]) == "***"


def test_each_line_of_a_secret_is_one():
    key = "-----BEGIN-----\nMIIEvgIBADANBgkq\n-----END-----\n"

    assert redact("found MIIEvgIBADANBgkq there", [key]) == "found *** there"


def test_a_short_secret_is_a_word_like_any_other():
    assert redact("the end", ["the", ""]) == "the end"


@pytest.mark.parametrize(
    "secret", ['a"quoted"one', "back\\slash\\ed", "tab\ttab\ttab", 'é"Größe"🚀']
)
@pytest.mark.parametrize("ascii", [True, False])
def test_a_secret_is_taken_out_of_json_and_of_json_in_json(secret, ascii):
    once = json.dumps({"said": secret}, ensure_ascii=ascii)
    twice = json.dumps([once], ensure_ascii=ascii)

    shown = Redactor([secret]).text(f"{secret} {once} {twice}")

    assert shown == '*** {"said": "***"} ["{\\"said\\": \\"***\\"}"]'


def test_a_secret_is_taken_out_of_all_texts_of_a_tree():
    tree = {"sesame42": ["sesame42", ("x sesame42",), {"deep": "sesame42"}], "n": 42, "b": None}

    assert Redactor(["sesame42"]).tree(tree) == {
        "***": ["***", ["x ***"], {"deep": "***"}],
        "n": 42,
        "b": None,
    }


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 0), ("open", 0), ("open s", 1), ("open sesame4", 7), ("sesame42", 0), ("sesame42s", 1)],
)
def test_what_may_begin_a_secret_is_told_by_its_length(text, length):
    assert Redactor(["sesame42"]).unfinished(text) == length


def test_where_there_are_no_secrets_nothing_is_unfinished():
    assert Redactor([]).unfinished("anything") == 0
