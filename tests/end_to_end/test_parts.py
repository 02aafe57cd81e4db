"""What one part of the two-hourly run has no time for, QStash brings back at once."""

import uuid

from tests.end_to_end.checkout import Checkout
from tests.support import eventually

EMBED = {"action": "process_user_embeddings"}
SHORT_PARTS = {"EMBEDDINGS_TIME_BUDGET_SECONDS": "30"}  # too short for a second stage, and long enough for any


def test_a_run_goes_on_in_parts_by_itself_until_every_user_is_done(checkout: Checkout) -> None:
    dev = checkout.run("--no-sample", variables=SHORT_PARTS).wait_until_ready()
    reads = [(f"user {user}", f"item {item}") for user in range(20) for item in range(user % 5 + 1)]
    dev.push([{"id": str(uuid.uuid4()), "user_id": user, "content_id": item, "action": "like"} for user, item in reads])
    eventually(lambda: dev.rows("SELECT count(*) FROM user_actions") == [(len(reads),)], timeout=30)

    first = dev.post("/api/actions/batch-process", EMBED).json()

    assert (first["users_updated"], first["users_left"], first["continued"]) == (0, None, True)
    eventually(lambda: dev.rows("SELECT count(*) FROM user_embeddings") == [(20,)], timeout=60)
    eventually(lambda: dev.get("/api/status").json()["jobs"]["process_user_embeddings"]["users_left"] == 0)
    assert dev.rows("SELECT active FROM recs_models") == [(True,)]
