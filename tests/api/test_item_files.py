"""Files of items: what a line may be, what is said of one that is wrong, and how little is kept."""

import csv
import io
import json
from itertools import chain, repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api import item_files
from api.item_files import LONGEST_LINE
from api.item_records import LARGEST_METADATA
from api.schemas.schedules import LONGEST_MESSAGE
from shared.batches.submission import Item
from shared.errors import Invalid

BOM = b"\xef\xbb\xbf"
ADA, ALAN = Item("ada", "Hello Ada", {"city": "London"}), Item(None, "Hello Alan", {"city": ""})
PIECE = 64 * 1024


def pieces_of(content, size):
    raw = content.encode() if isinstance(content, str) else content
    return (raw[start : start + size] for start in range(0, len(raw), size))


def items(pieces, template=None, *, is_csv=True, delimiter=",", most=1000):
    return item_files.items(
        pieces, is_csv=is_csv, template=template, delimiter=delimiter, most=most
    )


def read_csv(content, template=None, *, size=7, **options):
    return list(items(pieces_of(content, size), template, **options))


def read_jsonl(content, template=None, *, size=7, **options):
    return list(items(pieces_of(content, size), template, is_csv=False, **options))


def mistakes(read, *args, **options):
    with pytest.raises(Invalid) as refused:
        read(*args, **options)
    return refused.value.fields


def says(line, text):
    return {f"items.line {line}": [text]}


@pytest.mark.parametrize(
    "content",
    [
        b"key,message,city\nada,Hello Ada,London\n,Hello Alan,\n",
        b"key,message,city\r\nada,Hello Ada,London\r\n,Hello Alan,\r\n",
        b"key,message,city\nada,Hello Ada,London\n,Hello Alan,",
        b"\n\r\nkey,message,city\n\nada,Hello Ada,London\r\n\n\n,Hello Alan,\n\n",
        b' key ,"message",city \n"ada","Hello Ada","London"\n"","Hello Alan",""\n',
        BOM + b"key,message,city\nada,Hello Ada,London\n,Hello Alan,\n",
        BOM + b'"key","message","city"\r\nada,Hello Ada,London\r\n,Hello Alan,\r\n',
    ],
    ids=["LF", "CRLF", "no end", "blank lines", "quotes", "BOM", "BOM and quotes"],
)
def test_a_csv_is_read_as_spreadsheets_and_scripts_write_it(content):
    assert read_csv(content) == [ADA, ALAN]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_columns_may_be_parted_by_something_else(delimiter):
    content = "key,message,city\nada,Hello Ada,London\n".replace(",", delimiter)

    assert read_csv(content, delimiter=delimiter) == [ADA]


def test_what_stands_in_quotes_is_left_alone():
    content = 'message,note\n"a, ""b""\nc\r\n\r\n  d ",\t\n a"b ,"\r"\n'

    first, second = read_csv(content)

    assert first == Item(None, 'a, "b"\nc\r\n\r\n  d ', {"note": "\t"})
    assert second == Item(None, ' a"b ', {"note": "\r"})


@pytest.mark.parametrize(
    "content",
    [
        b'{"key": "ada", "message": "Hello Ada", "metadata": {"city": "London"}}\n'
        b'{"message": "Hello Alan", "metadata": {"city": ""}}\n',
        b'{"key": "ada", "message": "Hello \\u0041da", "metadata": {"city": "London"}}\r\n'
        b'{"key": null, "message": "Hello Alan", "metadata": {"city": ""}}\r\n',
        BOM + b'\n  {"message": "Hello Ada", "key": "ada", "metadata": {"city": "London"}}  \n'
        b' \t\r\n\n{"message": "Hello Alan", "metadata": {"city": ""}}',
    ],
    ids=["LF", "CRLF", "BOM and blank lines"],
)
def test_json_lines_are_read(content):
    assert read_jsonl(content) == [ADA, ALAN]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("Hello {{ name }}!", "Hello Ada!"),
        ("{{name}}{{  name\t}}{{name }}", "AdaAdaAda"),
        ("{{ first name }} {{ größe }}", "Augusta 1 m"),
        ('{"to": {"name": "{{ name }}"}}', '{"to": {"name": "Ada"}}'),
        ("{{ markup }}", r"{{ name }} {{ nobody }} \1 \g<0>"),
        ("{ name } { {name }} }} } }", "{ name } { {name }} }} } }"),
        ("{{ key }}", "1"),
        ("all the same", "all the same"),
    ],
)
def test_a_template_is_filled_with_columns_as_they_are(template, message):
    content = "key,name,first name,größe,markup\n" + (
        r"1,Ada,Augusta,1 m,{{ name }} {{ nobody }} \1 \g<0>"
    )

    (item,) = read_csv(content, template)

    assert (item.key, item.message) == ("1", message)
    assert list(item.metadata) == ["name", "first name", "größe", "markup"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a", "a"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (["a", 1], '["a",1]'),
        ({"ü": {"{{ value }}": None}}, '{"ü":{"{{ value }}":null}}'),
    ],
)
def test_a_template_is_filled_with_what_json_says(value, shown):
    line = json.dumps({"key": "ada", "value": value, "message": "-"})

    (item,) = read_jsonl(line, "Is {{ value }}")

    assert item == Item("ada", f"Is {shown}", {"value": value, "message": "-"})


@pytest.mark.parametrize(
    ("key", "becomes"),
    [(7, "7"), (1.5, "1.5"), ("7", "7"), ("", None), (None, None), ("k" * 255, "k" * 255)],
)
def test_a_template_takes_numbers_for_keys(key, becomes):
    (item,) = read_jsonl(json.dumps({"key": key}), "Hello")

    assert item == Item(becomes, "Hello", {})


@pytest.mark.parametrize("key", [True, {}, []])
def test_a_template_does_not_take_anything_for_a_key(key):
    found = mistakes(read_jsonl, json.dumps({"key": key}), "Hello")

    assert found == says(1, "Give it a text for a key, or none.")


@pytest.mark.parametrize(
    ("template", "name"), [("Go to {{ town }}", "town"), ("{{ }}", ""), ("{{\na }b\n}}", "a }b")]
)
def test_a_placeholder_of_nothing_is_a_mistake(template, name):
    of_csv = mistakes(read_csv, "name,city\nAda,London\n", template)
    of_jsonl = mistakes(read_jsonl, '{"town": 1, "": 2, "a }b": 3}\n{"name": "Ada"}', template)

    there_are = "there are 'name', 'city'."
    assert of_csv == {"template": [f"There is no column {name!r}; {there_are}"]}
    assert of_jsonl == says(2, f"It has no {name!r}, which the template wants.")


@pytest.mark.parametrize(
    ("content", "field", "sentence"),
    [
        ("message,message\n", "items.line 1", "Each column needs a name of its own."),
        ("message,a, a \n", "items.line 1", "Each column needs a name of its own."),
        ("message,\n", "items.line 1", "Each column needs a name of its own."),
        ("message, ,a\n", "items.line 1", "Each column needs a name of its own."),
        (
            "\n\nkey,text\n1,Hello\n",
            "items.line 3",
            "There is no column 'message'; there are 'key', 'text'."
            " Name it so, or give a `template`.",
        ),
        (
            "key;message\n1;Hello\n",
            "items.line 1",
            "There is no column 'message'; there are 'key;message'."
            " Name it so, or give a `template`."
            " If columns are not parted by ',', say so: `delimiter`.",
        ),
    ],
)
def test_a_header_that_will_not_do_says_why(content, field, sentence):
    assert mistakes(read_csv, content) == {field: [sentence]}


def test_a_template_for_a_file_of_another_delimiter_is_told_of_the_delimiter():
    (sentence,) = mistakes(read_csv, "key\tname\n1\tAda\n", "Hello {{ name }}")["template"]

    assert sentence.endswith("If columns are not parted by ',', say so: `delimiter`.")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"nonsense", "It is not JSON: Expecting value: line 1 column 1 (char 0)."),
        (b'{"message": "a"', "It is not JSON"),
        (b'{"message": "a"} {"message": "b"}', "It is not JSON: Extra data"),
        (b"{'message': 'a'}", "It is not JSON"),
        (BOM + b'{"message": "a"}', "It is not JSON"),
        (b'{"message": "\x01"}', "It is not JSON"),
        (b'["message"]', "Give a JSON object."),
        (b'"message"', "Give a JSON object."),
        (b"null", "Give a JSON object."),
        (b'{"message": "\xff"}', "It is not UTF-8."),
        (b'{"message": "\xed\xa0\x80"}', "It is not UTF-8."),
        ('{"message": "a"}'.encode("utf-16-le"), "It is not JSON"),
        (b'{"message": "a", "metadata": {"n": NaN}}', "It is not JSON: it has no NaN."),
        (b'{"message": "a", "metadata": {"n": -Infinity}}', "It is not JSON: it has no -Infinity."),
        (b'{"message": "a", "metadata": {"n": 1e400}}', "It has a number that is too large: 1e400"),
        (b'{"message": "a", "metadata": {"n": ' + b"9" * 99_999 + b"}}", "It has a number of more"),
        (b'{"metadata":' * 70 + b"1" + b"}" * 70, "It is nested more than 64 levels deep."),
        (b"[" * 100_000, "It is nested more than 64 levels deep."),
        (b'{"message": "a", "message": "b"}', "It names 'message' twice."),
        (b'{"message": "a", "metadata": {"n": 1, "m": 2, "n": 1}}', "It names 'n' twice."),
        (b'{"massage": "a"}', "It has 'massage'; there are key, message and metadata."),
        (b'{"message": "a", "\\ud800": 1}', r"It has '\ud800'; there are"),
        (b'{"message": "a", "' + b"x" * 9999 + b'": 1}', f"It has '{'x' * 64}'; there are"),
        (b"{}", "Give it a text for a message."),
        (b'{"message": 7}', "Give it a text for a message."),
        (b'{"message": null}', "Give it a text for a message."),
        (b'{"message": ""}', "Its message is blank."),
        (b'{"message": " \\u00a0\\n"}', "Its message is blank."),
        (b'{"message": "' + b"x" * 262_145 + b'"}', "Its message is longer than 262,144 bytes."),
        (b'{"message": "' + b"\xc3\xa9" * 131_073 + b'"}', "Its message is longer than 262,144"),
        (b'{"message": "a", "key": ""}', "Give a key of 1 to 255 characters, or none."),
        (b'{"message": "a", "key": "' + b"k" * 256 + b'"}', "Give a key of 1 to 255 characters"),
        (b'{"message": "a", "key": 7}', "Give it a text for a key, or none."),
        (b'{"message": "a", "key": {}}', "Give it a text for a key, or none."),
        (b'{"message": "a", "metadata": null}', "Give it a JSON object for metadata, or none."),
        (b'{"message": "a", "metadata": []}', "Give it a JSON object for metadata, or none."),
        (b'{"message": "a\\u0000"}', "Remove the NUL or lone surrogate from it."),
        (b'{"message": "a", "key": "\\u0000"}', "Remove the NUL or lone surrogate from it."),
        (b'{"message": "\\ud800"}', "Remove the NUL or lone surrogate from it."),
        (b'{"message": "\\udc00\\ud800"}', "Remove the NUL or lone surrogate from it."),
        (b'{"message": "a", "key": "\\udfff"}', "Remove the NUL or lone surrogate from it."),
        (b'{"message": "a", "metadata": {"\\u0000": 1}}', "Remove the NUL or lone surrogate"),
        (b'{"message": "a", "metadata": {"a": [{"b": "\\ud800"}]}}', "Remove the NUL or lone"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_line_of_json_that_will_not_do_says_why(line, sentence):
    content = b'{"message": "a"}\n\n' + line + b'\n{"message": "a"}\n'

    found = mistakes(read_jsonl, content, size=PIECE)

    assert list(found) == ["items.line 3"]
    assert found["items.line 3"][0].startswith(sentence)


@pytest.mark.parametrize("template", [None, "Hello"])
def test_metadata_have_their_limit(template):
    def line(length):
        metadata = {"n": "x" * (length - len('{"n":""}'))}
        return json.dumps({"message": "Hello", "metadata": metadata} if not template else metadata)

    (item,) = read_jsonl(line(LARGEST_METADATA), template, size=PIECE)
    found = mistakes(read_jsonl, line(LARGEST_METADATA + 1), template, size=PIECE)

    assert len(item.metadata["n"]) == LARGEST_METADATA - 8
    assert found == says(1, "Its metadata are longer than 262,144 characters.")


@pytest.mark.parametrize(
    ("row", "line", "sentence"),
    [
        (b"1,Hello\n", 6, "It has 2 columns, and the first line has 3."),
        (b"1,Hello,a,b\n", 6, "It has 4 columns, and the first line has 3."),
        (b"1, \t,a\n", 6, "Its message is blank."),
        (b'1,"\n\n",a\n', 6, "Its message is blank."),
        (b"k" * 256 + b",Hello,a\n", 6, "Give a key of 1 to 255 characters, or none."),
        (b"x,Again,a\n", 6, "It has the key of line 3; keys are unique in a batch."),
        (b"a\0,Hello,a\n", 6, "Remove the NUL or lone surrogate from it."),
        (b"1,Hel\0lo,a\n", 6, "Remove the NUL or lone surrogate from it."),
        (b"1,Hello,\0\n", 6, "Remove the NUL or lone surrogate from it."),
        (
            b"1,Hello," + b"x" * 262_144 + b"\n",
            6,
            "Its metadata are longer than 262,144 characters.",
        ),
        (b"1,Hell\xf6,a\n", 6, "It is not UTF-8."),
        (b'1,"Hello\n\nHell\xf6",a\n', 8, "It is not UTF-8."),
        (b"1,\xed\xa0\x80,a\n", 6, "It is not UTF-8."),
        (
            b'1,"Hello" Ada,a\n',
            6,
            "It is not CSV: ',' expected after '\"'. Look at its quotation marks.",
        ),
        (
            b'1,"Hello,a\n2,Hi,b\n',
            6,
            "It is not CSV: unexpected end of data. Look at its quotation marks.",
        ),
        (
            b"1,Hello,a\r2,Hi,b\n",
            6,
            "It has a CR without an LF: save the file with line ends of LF, or of CR and LF.",
        ),
        (
            b"1," + b"x" * 262_145 + b",a\n",
            6,
            "It has a column of more than 262,144 characters;"
            " perhaps a quotation mark is never closed.",
        ),
        (b"1," + b"\xc3\xa9" * 131_073 + b",a\n", 6, "Its message is longer than 262,144 bytes."),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_row_that_will_not_do_is_named_by_the_line_it_begins_on(row, line, sentence):
    content = b'key,message,a\n\nx,"two\r\nlines",\n\n' + row

    assert mistakes(read_csv, content, size=PIECE) == says(line, sentence)


def test_a_column_whose_name_no_database_keeps_is_refused():
    found = mistakes(read_csv, b"message,a\0b\nHello,x\n")

    assert found == says(2, "Remove the NUL or lone surrogate from it.")


def test_keys_are_unique_to_the_letter():
    keys = ["a", "A", "a ", " a", "\u00e9", "e\u0301", "0", "00", "", ""]
    content = "key,message\n" + "".join(f"{key},Hello\n" for key in keys)

    assert [item.key or "" for item in read_csv(content)] == keys


def test_a_number_and_its_text_are_one_key():
    found = mistakes(read_jsonl, '{"key": 7}\n{"key": null}\n{"key": "7"}\n{"key": null}\n', "Hi")

    assert found == says(3, "It has the key of line 1; keys are unique in a batch.")


def test_mistakes_are_told_together_with_the_one_that_ends_the_reading():
    content = b'message,a\n\n"Two\nlines"\nHello,a\n,\n\nBye,"a\n'

    assert mistakes(read_csv, content) == {
        "items.line 3": ["It has 1 columns, and the first line has 2."],
        "items.line 6": ["Its message is blank."],
        "items.line 8": ["It is not CSV: unexpected end of data. Look at its quotation marks."],
    }


def test_mistakes_of_json_lines_do_not_end_the_reading():
    content = b'{"message": "a"}\n\xff\n\n{}\n{"message": "a", "key": "x"}\nnull\n'

    assert list(mistakes(read_jsonl, content)) == [f"items.line {line}" for line in (2, 4, 6)]


@pytest.mark.parametrize(("read", "wrong"), [(read_csv, "a,b\n"), (read_jsonl, "{}\n")])
def test_no_more_mistakes_are_told_than_anybody_would_read(read, wrong):
    content = "message\n" + wrong * 30 if read is read_csv else wrong * 30

    found = mistakes(read, content)

    first = 2 if read is read_csv else 1
    assert list(found) == [f"items.line {line}" for line in range(first, first + 20)]


def test_no_item_comes_after_a_mistake():
    coming = items([b"message\nOne\nTwo\n\n \nThree\n"])

    assert [next(coming).message, next(coming).message] == ["One", "Two"]
    with pytest.raises(Invalid):
        next(coming)


@pytest.mark.parametrize("content", [b"", BOM, b"\n", BOM + b"\r\n\n", b"message,key\r\n\r\n"])
def test_a_file_without_an_item_is_refused(content):
    assert mistakes(read_csv, content) == {"items": ["There is no item in the file."]}


@pytest.mark.parametrize("content", [b"", BOM, b" \n\t\r\n"])
def test_json_lines_without_an_item_are_refused(content):
    assert mistakes(read_jsonl, content) == {"items": ["There is no item in the file."]}


def test_a_file_has_at_most_as_many_items_as_are_allowed():
    content = "message\n" + "Hello\n" * 3

    assert len(read_csv(content, most=3)) == 3
    assert mistakes(read_csv, content, most=2) == {"items": ["Send at most 2 items in one batch."]}


def test_items_come_as_the_file_does():
    sent = []

    def sending():
        for number in range(1000):
            sent.append(number)
            yield b"message\n" if not number else b"Hello\n"

    coming = items(sending())
    next(coming)

    assert len(sent) < 10


FIELD = b'"' + b"x\n" * 50_000 + b'",'


@pytest.mark.parametrize(
    ("begins", "goes_on", "is_csv", "sentence"),
    [
        (b"message\n", b"x" * PIECE, True, "It is longer than 1,048,576 bytes."),
        (b'message\n"', b"x" * PIECE, True, "It is longer than 1,048,576 bytes."),
        (b"message\n", FIELD, True, "A quotation mark is never closed."),
        (b'message\n"', b'""\n' * 20_000, True, "It has a column of more than 262,144"),
        (b'{"message": "a"}\n{"message": "', b"x" * PIECE, False, "It is longer than 1,048,576"),
        (b"\n", b"[" * PIECE, False, "It is longer than 1,048,576 bytes."),
        (b"\n", b" " * PIECE, False, "It is longer than 1,048,576 bytes."),
    ],
)
def test_what_never_ends_is_not_read_to_its_end(begins, goes_on, is_csv, sentence):
    coming = items(chain([begins], repeat(goes_on)), is_csv=is_csv)

    with pytest.raises(Invalid) as refused:
        list(coming)

    ((line, says),) = refused.value.fields.items()
    assert line == "items.line 2"
    assert says[0].startswith(sentence)


@pytest.mark.parametrize("size", [1000, PIECE, 3 * LONGEST_LINE])
def test_how_long_a_line_may_be_does_not_depend_on_how_it_is_cut(size):
    def content(length):
        return b'{"message": "a"}'.ljust(length) + b'\n{"message": "b"}\n'

    longest = read_jsonl(content(LONGEST_LINE), size=size)
    found = mistakes(read_jsonl, content(LONGEST_LINE + 1), size=size)

    assert [item.message for item in longest] == ["a", "b"]
    assert found == says(1, "It is longer than 1,048,576 bytes.")


@pytest.mark.parametrize("size", [1000, PIECE, 3 * LONGEST_LINE])
def test_how_long_a_row_may_be_does_not_depend_on_how_it_is_cut(size):
    # Of several columns, for no field may be so long.
    names, fields = b"message,a,b,c,d,e,f,g\n", b"Hello," + b",".join([b"x" * 149_000] * 7)

    longest = mistakes(read_csv, names + fields.ljust(LONGEST_LINE, b"x") + b"\n", size=size)
    longer = mistakes(read_csv, names + fields.ljust(LONGEST_LINE + 1, b"x") + b"\n", size=size)

    # It is a row, though not one of a batch.
    assert longest == says(2, "Its metadata are longer than 262,144 characters.")
    assert longer == says(2, "It is longer than 1,048,576 bytes.")


def test_a_value_that_is_wanted_a_thousand_times_does_not_fill_the_memory():
    # All of it would be ten gigabytes.
    line = json.dumps({"a": "x" * 1_000_000})

    found = mistakes(read_jsonl, line, "{{a}}" * 10_000, size=PIECE)

    assert found == says(1, "Its message is longer than 262,144 bytes.")


def test_a_template_may_make_the_longest_message_there_may_be():
    content = json.dumps({"a": "x" * (LONGEST_MESSAGE - 1), "b": "y"})

    refused = mistakes(read_jsonl, content, "{{ a }}{{ b }}", size=PIECE)
    refused_for_its_text = mistakes(read_jsonl, content, "{{ a }}é", size=PIECE)

    # All that it says is among its metadata, which are refused last.
    assert refused == says(1, "Its metadata are longer than 262,144 characters.")
    assert refused_for_its_text == says(1, "Its message is longer than 262,144 bytes.")


@pytest.mark.parametrize("template", ["{{" + " " * 60_000, "{{" * 30_000, "{{ a" * 15_000])
def test_no_template_takes_longer_than_it_is_long(template):
    # Searched without care, this would take hours.
    assert mistakes(read_csv, "a\nb\n", template).keys() == {"template"}


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("Dear {{ name }, {{ name }}", "{{ name }, {{ name }}"),
        ("{{ {{ name }}", "{{ {{ name }}"),
        ("{{ name }} {{", "{{"),
    ],
)
def test_a_placeholder_that_does_not_end_is_a_mistake(template, shown):
    refused = mistakes(read_csv, "name\nAda\n", template)

    says = f"{shown!r} begins a placeholder that does not end with '}}}}'."
    assert refused == {"template": [says]}


def test_no_header_takes_longer_than_it_is_long():
    # Each name looked for among all columns, this would take a minute.
    columns = ",".join(f"c{number}" for number in range(120_000))
    template = "{{ c119999 }}" * 5_000

    (refused,) = mistakes(read_csv, f"{columns}\n1\n", template, size=PIECE).values()

    assert "the first line has 120000" in refused[0]


def test_no_line_of_many_names_takes_longer_than_it_is_long():
    # Each name counted among all of them, this would take minutes.
    line = "{" + "".join(f'"{number}":1,' for number in range(90_000)) + '"z":1,"z":1}'

    assert mistakes(read_jsonl, line, size=PIECE) == says(1, "It names 'z' twice.")


def cut(raw, at):
    """*raw* in pieces that begin at these places."""
    places = sorted({place % (len(raw) + 1) for place in at})
    return [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True)]


CUTS = st.lists(st.integers(0, 100_000), max_size=8)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
WORDS = TEXT.filter(lambda text: text.strip() != "")
SPECIAL = st.text("\"',;|\t\r\n {}a\\\ufeff", max_size=8)
ROWS = st.lists(
    st.tuples(TEXT | SPECIAL, WORDS | SPECIAL.filter(lambda text: text.strip()), TEXT | SPECIAL),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0] or object(),
)


@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    bom=st.sampled_from([b"", BOM]),
    at=CUTS,
)
def test_whatever_is_written_as_csv_comes_back_the_same(rows, delimiter, quoting, bom, at):
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting)
    writer.writerows([("key", "message", "note"), *rows])
    pieces = cut(bom + written.getvalue().encode(), at)

    found = list(items(pieces, delimiter=delimiter))

    assert found == [Item(key or None, message, {"note": note}) for key, message, note in rows]


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**28), 10**28)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
LINES = st.lists(
    st.fixed_dictionaries(
        {"message": WORDS},
        optional={
            "key": st.none() | TEXT.filter(bool),
            "metadata": st.dictionaries(TEXT, ANY_JSON, max_size=3),
        },
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda line: line.get("key") or object(),
)


@given(lines=LINES, ascii=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\n \n"]), at=CUTS)
def test_whatever_is_written_as_json_lines_comes_back_the_same(lines, ascii, end, at):
    written = "".join(json.dumps(line, ensure_ascii=ascii) + end for line in lines)
    pieces = cut(written.encode(), at)

    found = list(items(pieces, is_csv=False))

    assert found == [
        Item(line.get("key"), line["message"], line.get("metadata", {})) for line in lines
    ]


def outcome(pieces, template, *, is_csv):
    try:
        return list(items(pieces, template, is_csv=is_csv))
    except Invalid as refused:
        return refused.fields


CHARACTERS = [bytes([each]) for each in b"\n\r\"', \0\xff\xc3\xa9a1:{}[]"]
SCRAPS = [BOM, b"message", b"key", b"{{ a }}", b'{"message": "a"}', b'{"a": 1, "key": "']
RAW = st.binary(max_size=60) | st.lists(st.sampled_from(CHARACTERS + SCRAPS), max_size=30).map(
    b"".join
)


@given(raw=RAW, at=CUTS, template=st.none() | st.just("{{ a }}") | st.just("b"))
@example(raw=b'message\n"\xff\n\n', at=[], template=None)
def test_no_bytes_are_anything_but_items_or_refused_however_they_are_cut(raw, at, template):
    for is_csv in (True, False):
        whole = outcome([raw], template, is_csv=is_csv)

        assert outcome(cut(raw, at), template, is_csv=is_csv) == whole
        assert outcome((raw[n : n + 1] for n in range(len(raw))), template, is_csv=is_csv) == whole
