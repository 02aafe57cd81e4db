"""Has QStash call us again for what one invocation had no time for."""

from lib.adapters.services import Services
from lib.core.schedules import UPDATE_EMBEDDINGS, Part, part_deduplication_id
from lib.errors import ServiceUnavailable, SettingsError
from lib.log_lines import line, log

RETRIES = 3  # as of the schedule


def publish_next_part(services: Services, part: Part) -> bool:
    """Whether the part after `part` was handed to QStash; a repeated call adds none to what it delivers.

    A QStash that is away is no failure: what this part did is stored, and the next two-hourly run goes on after it.
    """
    settings = services.settings
    if (following := part.next) is None:
        return False
    try:
        settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
        services.qstash.publish(
            url=settings.app_url + UPDATE_EMBEDDINGS.path,
            body=UPDATE_EMBEDDINGS.body | following.body,
            retries=RETRIES,
            deduplication_id=part_deduplication_id(settings.app_url, following),
        )
    except (ServiceUnavailable, SettingsError) as error:
        reason = settings.redact(error.message)
        log.warning(line("the next part is left to the next run", job=UPDATE_EMBEDDINGS.name, error=reason))
        return False
    return True
