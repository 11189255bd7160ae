import tracemalloc

import pytest

from worker.agents.output import Output, cap


def test_what_fits_is_kept_as_it_is():
    assert cap("Grüße, 世界", 100) == "Grüße, 世界"


def test_what_fits_exactly_is_not_marked():
    assert cap("x" * 100, 100) == "x" * 100


def test_the_beginning_and_the_end_of_what_does_not_fit_are_kept():
    text = cap("a" * 75 + "b" * 1000 + "c" * 25, 100)

    assert text == "a" * 75 + "\n[… 1,000 bytes cut …]\n" + "c" * 25


def test_no_character_is_cut_in_two():
    text = cap("世" * 100, 102)

    assert text == "世" * 25 + "\n[… 201 bytes cut …]\n" + "世" * 8


def test_a_character_that_arrives_in_two_pieces_is_one():
    output = Output(100)

    for byte in "世界".encode():
        output.feed(bytes([byte]))

    assert output.text() == "世界"


@pytest.mark.parametrize(
    "unfit", [b"\x00", b"\xff", b"\xed\xa0\x80"], ids=["NUL", "no UTF-8", "surrogate"]
)
def test_bytes_that_no_database_takes_are_replaced(unfit):
    output = Output(100)

    output.feed(b"before" + unfit + b"after")

    text = output.text()
    assert text.startswith("before\N{REPLACEMENT CHARACTER}")
    assert text.endswith("after")
    assert text.encode()
    assert "\0" not in text


def test_a_lone_surrogate_in_a_text_is_replaced():
    assert cap("\ud800!", 100) == "\N{REPLACEMENT CHARACTER}!"


def test_bytes_that_grow_when_they_are_replaced_stay_within_the_limit():
    output = Output(300)

    output.feed(b"\xff" * 300)

    kept = output.text().count("\N{REPLACEMENT CHARACTER}") * 3
    assert 290 <= kept <= 300


def test_only_a_flood_is_a_flood():
    output = Output(100)

    output.feed(b"x" * 6400)
    before = output.flooded
    output.feed(b"x")

    assert (before, output.flooded) == (False, True)


def test_memory_stays_small_while_much_streams_by():
    output, chunk = Output(100_000), b"x" * 65_536
    tracemalloc.start()

    for _ in range(200):
        output.feed(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "[… 13,007,200 bytes cut …]" in output.text()
    assert peak < 1_000_000
