"""The six endpoints: a request in, a job run, a response out. Jobs are imported where they run, because each function
starts cold in a process of its own and needs no other's libraries."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lib.adapters.services import Services
from lib.core.actions import identifier_problem
from lib.core.schedules import PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE, part_of
from lib.core.shards import Shard, run_of, shard_of
from lib.errors import ImpossibleJob, InvalidInput, RecommenderError, ServiceUnavailable, SettingsError
from lib.jobs.run import WORK_SHARE, Deadline, run_and_report
from lib.time_limit import time_limit
from lib.web.http import Request, Response, json_response, text_response

RECOMMEND_PARAMETERS = {"user_id", "n", "language"}
STATUS_FORMATS = ("html", "json", "prometheus")
MAX_ITEMS = 100
DEFAULT_ITEMS = 20
MAX_NONCE_LENGTH = 100
MAX_LANGUAGE_LENGTH = 35  # of a BCP 47 tag
PUBLISHING_SHARE = 0.4  # of a tick's: a QStash that hangs leaves time to drain
INIT_SECONDS = 60.0  # somebody waits, but every service may be slow in turn
STATUS_SECONDS = 20.0
RECOMMEND_SECONDS = 10.0


def batch_process(request: Request, services: Services) -> Response:
    """The ticks and the two-hourly learning: the body says which."""
    body = _job_body(request, PROCESS_ACTIONS.name, UPDATE_EMBEDDINGS.name)
    if body["action"] == "ping":
        return _pong(body, services)
    if body["action"] == UPDATE_EMBEDDINGS.name:
        return _embed(body, services)
    with time_limit(services.settings.actions_time_budget_seconds):
        publishes, is_helper = body.get("publish_ticks") is True, body.get("helper") is True
        return json_response(_tick(services, publishes=publishes, calls_helpers=not is_helper))


def warm(request: Request, services: Services) -> Response:
    body = _job_body(request, WARM_CACHE.name)
    if body["action"] == "ping":
        return json_response({"ok": True})
    from lib.jobs.warm_cache import warm_cache, warm_shard

    if "shard" in body:
        return _run(WARM_CACHE.name, partial(warm_shard, shard=_shard(body)), services, is_shard=True)
    return _run(WARM_CACHE.name, partial(warm_cache, run=_asked_run(body)), services)


def refresh(request: Request, services: Services) -> Response:
    if _job_body(request, REFRESH_COLD_START.name)["action"] == "ping":
        return json_response({"ok": True})
    from lib.jobs.refresh_cold_start import refresh_cold_start

    return _run(REFRESH_COLD_START.name, refresh_cold_start, services)


def init(request: Request, services: Services) -> Response:
    from lib.jobs.initialize import initialize

    with time_limit(INIT_SECONDS):
        inspection = initialize(services, datetime.now(UTC))
    status = "200 OK" if inspection.ok else "503 Service Unavailable"
    if request.wants_html:
        from lib.web.pages import page_response

        return page_response(request, "init.html", status, inspection=inspection, app_url=services.settings.app_url)
    return json_response(inspection.as_json(), status)


def status(request: Request, services: Services) -> Response:
    """A page for a browser, Prometheus's text for its scraper, JSON for everybody else; `format` overrides it."""
    format_ = _status_format(request)
    from lib.jobs.report_status import report_status

    with time_limit(STATUS_SECONDS):
        document = report_status(services, datetime.now(UTC))
    if format_ == "html":
        from lib.web.pages import page_response
        from lib.web.status_page import status_values

        return page_response(request, "status.html", **status_values(document))
    if format_ == "prometheus":
        from lib.web.prometheus import CONTENT_TYPE, exposition

        return text_response(exposition(document), CONTENT_TYPE)
    return json_response(document)


def recommendations(request: Request, services: Services) -> Response:
    if unknown := sorted(set(request.query) - RECOMMEND_PARAMETERS):
        raise InvalidInput(f"{unknown[0][:40]} is no parameter of this.", fix="Give user_id, n and language alone.")
    user_id = request.parameter("user_id")
    if user_id is None:
        raise InvalidInput("user_id is missing.", fix="Ask for /api/recommend?user_id=U&n=20.")
    if problem := identifier_problem(user_id):
        raise InvalidInput(f"user_id {problem}.", fix="Give the id that the app's actions carry.")
    n, language = _number_of_items(request), _language(request)
    from lib.jobs.recommend import recommend

    with time_limit(RECOMMEND_SECONDS):
        return json_response(recommend(services, user_id=user_id, n=n, language=language, now=datetime.now(UTC)))


def _pong(body: dict[str, Any], services: Services) -> Response:
    """A ping that the configuration check has sent carries a nonce, by which its arrival is noted."""
    nonce = body.get("nonce")
    if isinstance(nonce, str) and len(nonce) <= MAX_NONCE_LENGTH:
        services.pings.note_arrival(nonce)
    return json_response({"ok": True})


def _embed(body: dict[str, Any], services: Services) -> Response:
    """One part of the two-hourly learning, which publishes the next one itself, or a shard of the users."""
    from lib.jobs.update_embeddings import process_user_embeddings, update_shard

    if "shard" in body:
        return _run(UPDATE_EMBEDDINGS.name, partial(update_shard, shard=_shard(body)), services, is_shard=True)
    part = part_of(body, datetime.now(UTC).timestamp())
    if part is None:
        raise ImpossibleJob("The body names no part of a run.", fix=_body_fix((UPDATE_EMBEDDINGS.name,)))
    return _run(UPDATE_EMBEDDINGS.name, partial(process_user_embeddings, part=part), services)


def _run(name: str, job: Any, services: Services, *, is_shard: bool = False) -> Response:
    budget = services.settings.job_time_budget_seconds
    with time_limit(budget):
        deadline = Deadline.after(WORK_SHARE * budget)
        return json_response(run_and_report(name, job, services, deadline, is_shard=is_shard))


def _shard(body: dict[str, Any]) -> Shard:
    shard = shard_of(body, datetime.now(UTC).timestamp())
    if shard is None:
        raise ImpossibleJob("The body names no shard of a run.", fix=_body_fix((body["action"],)))
    return shard


def _asked_run(body: dict[str, Any]) -> int | None:
    """The run that the body names; None where it names none."""
    if "run" not in body:
        return None
    run = run_of(body, datetime.now(UTC).timestamp())
    if run is None:
        raise ImpossibleJob("The body names no run.", fix=_body_fix((body["action"],)))
    return run


def _tick(services: Services, *, publishes: bool, calls_helpers: bool) -> dict[str, Any]:
    """Publishes first, so that a long drain delays no tick; drains also where the others can't be published."""
    from lib.jobs.process_actions import process_user_actions

    budget = services.settings.actions_time_budget_seconds
    deadline = Deadline.after(WORK_SHARE * budget)
    refusal: RecommenderError | None = None
    published = {}
    if publishes:
        from lib.jobs.publish_ticks import publish_ticks

        try:
            with time_limit(PUBLISHING_SHARE * budget):
                published = {"ticks_published": publish_ticks(services, datetime.now(UTC))}
        except (ServiceUnavailable, SettingsError) as error:
            refusal = error
    summary = process_user_actions(services, deadline, calls_helpers=calls_helpers)
    if refusal is not None:
        raise refusal  # QStash tries again, and the slots still ahead are published then
    return {**summary, **published}


def _job_body(request: Request, *names: str) -> dict[str, Any]:
    """The message's body. An empty one is enough where the endpoint has one job only."""
    try:
        body = json.loads(request.body) if request.body.strip() else {}
    except (ValueError, RecursionError):
        raise ImpossibleJob("The body is not JSON.", fix=_body_fix(names)) from None
    if isinstance(body, dict) and "action" not in body and len(names) == 1:
        body = {**body, "action": names[0]}
    if not isinstance(body, dict) or body.get("action") not in (*names, "ping"):
        raise ImpossibleJob("The body names no action of this endpoint.", fix=_body_fix(names))
    return body


def _body_fix(names: tuple[str, ...]) -> str:
    return "Send " + " or ".join(json.dumps({"action": name}) for name in names) + "."


def _status_format(request: Request) -> str:
    wanted = request.parameter("format")
    if wanted is None:
        return "html" if request.wants_html else "prometheus" if request.wants_plain_text else "json"
    if wanted not in STATUS_FORMATS:
        raise InvalidInput("format must be html, json or prometheus.", fix="Ask for ?format=prometheus, say.")
    return wanted


def _number_of_items(request: Request) -> int:
    text = request.parameter("n")
    if text is None:
        return DEFAULT_ITEMS
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_ITEMS):
        raise InvalidInput(f"n must be a whole number from 1 to {MAX_ITEMS}.", fix="Ask for n=20, say.")
    return int(text)


def _language(request: Request) -> str | None:
    text = request.parameter("language")
    if text is not None and not (0 < len(text) <= MAX_LANGUAGE_LENGTH and text.replace("-", "").isalnum()):
        raise InvalidInput("language must be a tag such as en or zh-CN.", fix="Leave it out for every language.")
    return text
