"""Signed calls, as the local QStash makes them."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from qstash import QStash
from qstash.log import LogState
from qstash.message import PublishResponse

from lib.core.schedules import Job
from tests.support import eventually

ENDED = (LogState.DELIVERED, LogState.FAILED)


@contextmanager
def qstash_of(variables: Mapping[str, str]) -> Iterator[QStash]:
    """The vendor's client, with the QStash that the variables name."""
    qstash = QStash(variables["QSTASH_TOKEN"], base_url=variables["QSTASH_URL"], retry=False)
    with closing(qstash.http._client):
        yield qstash


def deliver(variables: Mapping[str, str], job: Job, *, seconds: float = 30) -> LogState:
    """Publishes the job's message to the app of the variables; how its delivery ended."""
    with qstash_of(variables) as qstash:
        url = variables["NEXT_PUBLIC_APP_URL"] + job.path
        message = qstash.message.publish_json(url=url, body=job.body, retries=0)
        assert isinstance(message, PublishResponse)
        message_id = message.message_id

        def end() -> LogState | None:
            states = {entry.state for entry in qstash.log.list(filter={"message_id": message_id}).logs}
            return next((state for state in ENDED if state in states), None)

        ended = eventually(end, seconds)
        assert ended is not None
        return ended
