"""A local QStash: an in-memory stand-in for Upstash QStash, for development and tests.

    server = QStashServer()          # a random token and random signing keys, any free port
    server.start()
    client = QStash(server.token, base_url=server.url)
    ...
    server.stop()

`python -m local.qstash --port 8080` runs it alone and prints the four QSTASH_ variables. A page at its root lists
the schedules with their next run and the last 200 messages with what became of them.

What it does, over the vendor's wire format, so that the vendor's clients work unchanged:
- publish, batch, get and cancel messages; delays, absolute times, deduplication, flow control, labels, callbacks;
- schedules (five-field cron, CRON_TZ, pause, resume, a cap); a run missed while the machine slept fires once;
- signed deliveries; retries with back-off, Retry-After and retry-delay expressions; 489; timeouts; the DLQ;
- signing keys and their rotation; the message log, with the client's filters and cursors.

What it does not do: keep anything over a restart, queues, URL groups, LLM and e-mail providers, redaction (each is
refused by name, never ignored), the flow-control management calls, quotas other than the number of schedules, the
size of a message and the parallelism. It binds 127.0.0.1 only and is no place for production traffic. The vendor's
own development server may take its place: point QSTASH_URL, QSTASH_TOKEN and the signing keys at that one.
"""

from local.qstash.server import QStashServer

__all__ = ["QStashServer"]
