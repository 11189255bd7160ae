"""Strict JSON: nothing that two readers would understand differently, or no database would keep.

Python's own reader takes NaN, infinities, repeated names and endless numbers.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from api.problems import Unreadable

_DEEPEST = 64
_LONGEST_NUMBER = 30
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def parse(raw: bytes, *, what: str = "The body") -> Any:
    """What *raw* says; *what* that is. Raises `Unreadable` on what is not JSON, or too clever."""
    try:
        text = raw.decode()
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        _check_depth(value)
    except UnicodeDecodeError:
        raise Unreadable(f"{what} is not UTF-8.") from None
    except RecursionError:
        raise Unreadable(f"{what} is nested more than {_DEEPEST} levels deep.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"{what} is not JSON: {error}.") from None
    except ValueError as error:
        raise Unreadable(f"{what} {error}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"names {twice[:64]!r} twice.")
    return members


def _constant(text: str) -> Any:
    raise ValueError(f"is not JSON: it has no {text}.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"has a number that is too large: {text[:_LONGEST_NUMBER]}.")
    return number


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"has a number of more than {_LONGEST_NUMBER} digits.")
    return int(text)


def _check_depth(value: Any, levels: int = _DEEPEST) -> None:
    if not levels:
        raise RecursionError
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        if isinstance(each, dict | list):
            _check_depth(each, levels - 1)


def unstorable(value: Any, path: str = "") -> Iterator[str]:
    """Where there is text that one of the databases would refuse."""
    match value:
        case str() if not storable(value):
            yield path or "body"
        case list():
            for index, each in enumerate(value):
                yield from unstorable(each, f"{path}.{index}" if path else str(index))
        case dict():
            for name, each in value.items():
                if not storable(name):
                    yield path or "body"
                yield from unstorable(each, f"{path}.{name}" if path else name)


def storable(text: str) -> bool:
    """Whether both databases keep *text*."""
    return _UNSTORABLE.search(text) is None


def written(value: Any) -> str:
    """*value* as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
