"""Publishes the ticks that are still ahead in a minute (lib/core/schedules.py says which, and why)."""

from datetime import datetime

from lib.adapters.services import Services
from lib.core.schedules import PROCESS_ACTIONS, deduplication_id, slots_ahead


def publish_ticks(services: Services, now: datetime) -> int:
    """Answers how many messages were handed to QStash; a repeated call adds none to what it delivers."""
    settings = services.settings
    settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
    interval = settings.actions_interval_seconds
    slots = slots_ahead(now.timestamp(), interval_seconds=interval) if interval < 60 else []
    if slots:
        services.qstash.publish_at(
            url=settings.app_url + PROCESS_ACTIONS.path,
            body=PROCESS_ACTIONS.body,
            slots=[(slot, deduplication_id(settings.app_url, interval_seconds=interval, slot=slot)) for slot in slots],
        )
    return len(slots)
