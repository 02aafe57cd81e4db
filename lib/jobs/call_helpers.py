"""Has QStash call us several times at once for a backlog that one call has no time for."""

import time

from lib.adapters.qstash import Message
from lib.adapters.services import Services
from lib.core.helpers import HELPER_BODY, flow_key, helper_ids
from lib.core.schedules import PROCESS_ACTIONS
from lib.errors import ServiceUnavailable, SettingsError
from lib.log_lines import line, log
from lib.time_limit import time_limit

PUBLISHING_SECONDS = 3.0  # a QStash that hangs takes no more of a drain's time


def call_helpers(services: Services, count: int) -> int:
    """Answers how many were asked for. None where QStash is away: the ticks go on, and drain it more slowly.

    Each is called once, and not again where it fails: what is left is the next tick's.
    """
    settings = services.settings
    try:
        settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
        ids = helper_ids(settings.app_url, count, now=time.time(), seconds_a_call=settings.actions_time_budget_seconds)
        with time_limit(PUBLISHING_SECONDS):
            services.qstash.publish_batch(
                [
                    Message(
                        url=settings.app_url + PROCESS_ACTIONS.path,
                        body=HELPER_BODY,
                        retries=0,
                        deduplication_id=deduplication_id,
                        flow_key=flow_key(settings.app_url),
                        parallelism=settings.fan_out_parallelism,
                    )
                    for deduplication_id in ids
                ]
            )
    except (ServiceUnavailable, SettingsError) as error:
        log.warning(line("no helpers could be called", wanted=count, error=settings.redact(error.message)))
        return 0
    return count
