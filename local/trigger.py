"""scripts/trigger NAME: runs one job now on the configured deployment, by publishing a signed QStash message."""

import argparse
import time

from lib.adapters.services import Services
from lib.core.schedules import JOBS, WARM_CACHE
from lib.errors import RecommenderError
from local.configuration import read_configuration


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/trigger", description=__doc__)
    parser.add_argument("name", choices=sorted(JOBS), metavar="NAME", help=", ".join(sorted(JOBS)))
    job = JOBS[parser.parse_args().name]
    settings = read_configuration()
    services = Services(settings)
    url = settings.app_url + job.path
    try:
        settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
        # A run of its own: without it the hour's would be meant, which may be done already.
        body = job.body | ({"run": int(time.time())} if job is WARM_CACHE else {})
        message_id = services.qstash.publish(url=url, body=body, retries=0)
    except RecommenderError as error:
        print(f"❌ {settings.redact(error.message)}\n   → {error.fix}")
        return 1
    finally:
        services.close()
    print(f"✅ {job.name} published to {url} as {message_id}; its result is in /api/status.")
    return 0
