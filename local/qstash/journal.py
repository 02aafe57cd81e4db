"""A bounded list of JSON records, newest first, read with the filters and cursors of the vendor's clients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from local.qstash.errors import bad_request

Record = dict[str, Any]
Query = Mapping[str, Sequence[str]]

_EQUAL = frozenset({"messageId", "url", "topicName", "queueName", "scheduleId", "label", "state", "responseStatus"})
_ANY_OF = {"messageIds": "messageId", "dlqIds": "dlqId"}
_UNDER_ANOTHER_NAME = {"callerIp": "callerIP"}
_STATES_IN_PROGRESS = frozenset({"ACTIVE", "RETRY", "ERROR"})


class Journal:
    """Keeps the last `limit` records under rising numbers, which serve as cursors."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: dict[int, Record] = {}
        self._next = 1

    def add(self, record: Record) -> None:
        self._records[self._next] = record
        self._next += 1
        if len(self._records) > self._limit:
            del self._records[next(iter(self._records))]

    def __iter__(self) -> Iterator[Record]:
        """The records, newest first."""
        return reversed(self._records.values())

    def page(self, query: Query, most: int) -> tuple[list[Record], str | None]:
        """Up to `count` (at most `most`) matching records, and the cursor where more follow."""
        count = min(_number(query, "count", most), most)
        before = _number(query, "cursor", self._next)
        keep = matcher(query)
        found = [n for n in reversed(self._records) if n < before and keep(self._records[n])]
        cursor = str(found[count - 1]) if len(found) > count > 0 else None
        return [self._records[n] for n in found[:count]], cursor

    def remove(self, key: str, values: Sequence[str]) -> int:
        """Removes the records whose `key` is one of the values; answers how many there were."""
        doomed = [n for n, record in self._records.items() if record[key] in values]
        for number in doomed:
            del self._records[number]
        return len(doomed)


def matcher(query: Query) -> Callable[[Record], bool]:
    """A test for records from a query string's parameters; Refused (400) for one that is unknown."""
    tests = [_test(name, values) for name, values in query.items() if name not in {"count", "cursor"}]
    return lambda record: all(test(record) for test in tests)


def _test(name: str, values: Sequence[str]) -> Callable[[Record], bool]:
    if name in {"fromDate", "toDate"}:
        bound, sign = _number({name: values}, name, 0), 1 if name == "fromDate" else -1
        return lambda record: bool(sign * (record["time"] - bound) >= 0)
    field = _ANY_OF.get(name) or _UNDER_ANOTHER_NAME.get(name) or name
    if field == name and name not in _EQUAL:
        raise bad_request(f"unknown filter {name!r}")
    wanted = _STATES_IN_PROGRESS if list(values) == ["IN_PROGRESS"] else frozenset(values)
    return lambda record: str(record.get(field)) in wanted


def _number(query: Query, name: str, default: int) -> int:
    text = query[name][-1] if name in query else str(default)
    if not text.isdecimal():
        raise bad_request(f"{name}: {text!r} is not a whole number")
    return int(text)
