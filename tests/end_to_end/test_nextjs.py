"""The guide for Next.js apps and its example, run by Next.js with the vendor's client against the embedded services."""

import html
import itertools
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from dotenv import dotenv_values

from tests.browser.chromium import SCHEMES, running_browser, violations
from tests.end_to_end.checkout import FAST_TICKS, Dev, copied
from tests.end_to_end.nextjs import (
    EXAMPLE,
    GUIDES,
    PACKAGES,
    App,
    app_folder,
    blocks_of,
    build,
    install,
    serving,
)
from tests.support import eventually, in_a_thread, needing

TOPICS = {"en": ("eclipse", "cooking", "music", "travel"), "zh": ("日食", "烹饪", "音乐", "旅行")}
POSTS_A_TOPIC = 6
READERS = 40
BLOCKS = blocks_of(GUIDES["en"])
ENVIRONMENT = {"UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "ADMIN_API_KEY", "RECOMMENDER_URL"}
NOWHERE = "http://127.0.0.1:9"  # where nobody listens

# Runs the browser's file as a browser would: relative addresses are the app's, and cookies are kept. LOST answers are
# those that get lost on their way back.
BROWSER = """
import fs from "node:fs";
import ts from "typescript";
const [app, reader, lost, ...contentIds] = process.argv.slice(2);
const options = { compilerOptions: { module: "esnext", target: "es2022" } };
fs.writeFileSync("act.mjs", ts.transpileModule(fs.readFileSync("lib/act.ts", "utf8"), options).outputText);
const { act } = await import(`${process.cwd()}/act.mjs`);
const { fetch } = globalThis;
const [statuses, readers] = [[], [reader]];
globalThis.fetch = async (path, request) => {
  const headers = { ...request.headers, Cookie: `reader=${readers.at(-1)}` };
  const answer = await fetch(app + path, { ...request, headers });
  statuses.push(answer.status);
  if (statuses.length <= Number(lost)) throw new TypeError("network error");
  const made = /reader=([^;]+)/.exec(answer.headers.get("set-cookie") ?? "");
  if (made) readers.push(made[1]);
  return answer;
};
await Promise.all(contentIds.map((contentId) => act(contentId, "like")));
console.log(JSON.stringify({ statuses, readers }));
"""


class Site(NamedTuple):
    """scripts/dev with somebody's posts, and the app that shows them."""

    dev: Dev
    app: App
    folder: Path
    variables: Mapping[str, str]

    def starts(self, **changes: str) -> AbstractContextManager[App]:
        """Another process of the app, with some variables changed."""
        return serving(self.folder, {**self.variables, **changes})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    guide = {block.file: block.text for block in BLOCKS if block.file}
    with needing(install), copied() as checkout, app_folder(guide) as folder:
        dev = checkout.run("--no-sample", variables=FAST_TICKS)
        built = build(folder)
        assert built.returncode == 0, built.stdout + built.stderr
        dev.wait_until_ready()
        publish_posts(dev)
        act_for_a_week(dev)
        variables = written_variables(dev)
        with serving(folder, variables) as app:
            yield Site(dev, app, folder, variables)


def publish_posts(dev: Dev) -> None:
    """A table as the guide supposes it, and the guide's view over it."""
    [view] = [block.text for block in BLOCKS if block.language == "sql"]
    rows = [
        (f"{topic} {number}", [topic], f"author {number}", language, f"{number + 1} days")
        for language, topics in TOPICS.items()
        for topic in topics
        for number in range(POSTS_A_TOPIC)
    ]
    with psycopg.connect(dev.variables["DATABASE_URL"]) as connection:
        connection.execute(
            "CREATE TABLE posts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text, tags text[],"
            " author text, lang text, status text DEFAULT 'published', published_at timestamptz,"
            " updated_at timestamptz DEFAULT now())"
        )
        connection.execute(view.encode())
        connection.cursor().executemany(
            "INSERT INTO posts (title, tags, author, lang, published_at) VALUES (%s, %s, %s, %s, now() - %s::interval)",
            rows,
        )


def act_for_a_week(dev: Dev) -> None:
    """Every topic is read alike, and the first of each language by everybody in the last hours."""
    ids = {title: str(post) for post, title in dev.rows("SELECT id, title FROM posts")}
    now = datetime.now(UTC)
    usual = [
        (f"{topic} {(reader + day) % POSTS_A_TOPIC}", reader, now - timedelta(days=day + 1, hours=reader % 12))
        for topics in TOPICS.values()
        for topic in topics
        for day in range(7)
        for reader in range(day, READERS, 7)
    ]
    burst = [
        (f"{topics[0]} {reader % POSTS_A_TOPIC}", 1_000 + reader, now - timedelta(hours=1 + reader % 6))
        for topics in TOPICS.values()
        for reader in range(READERS)
    ]
    actions = [
        {
            "id": str(uuid.uuid4()),
            "userId": f"reader-{reader}",
            "contentId": ids[title],
            "action": "view",
            "timestamp": at.isoformat(),
        }
        for title, reader, at in usual + burst
    ]
    dev.push(actions)
    eventually(lambda: dev.rows("SELECT count(*) FROM user_actions") == [(len(actions),)], timeout=30)
    for path, action in (
        ("/api/actions/batch-process", "process_user_embeddings"),
        ("/api/recommend/cold-start/refresh", "refresh_cold_start"),
    ):
        assert dev.post(path, {"action": action}).status_code == 200


def written_variables(dev: Dev) -> dict[str, str]:
    """What the example's README has people do, in its place in the project."""
    folder = dev.folder / "examples" / EXAMPLE.name
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLE / "package.json", folder)
    subprocess.run(["npm", "run", "env"], cwd=folder, check=True, capture_output=True)
    file = folder / ".env.local"
    assert file.stat().st_mode & 0o777 == 0o600
    return {name: value or "" for name, value in dotenv_values(file).items()}


def push(app: App, user_id: str, content_id: str, action: str = "like") -> str:
    """By the guide's function; answers the action's id."""
    event = {"id": str(uuid.uuid4()), "contentId": content_id, "action": action}
    app.call("pushAction", user_id, event)
    return event["id"]


def ids_in(document: Mapping[str, list[dict[str, str]]]) -> list[str]:
    return [item["content_id"] for item in document["items"]]


def some_reader() -> str:
    return f"读者-{uuid.uuid4()}"


def events_of(dev: Dev, reader: str) -> list[tuple[object, ...]]:
    return dev.rows(f"SELECT event_id, action, content_id FROM user_actions WHERE user_id = '{reader}'")


# The text


def test_the_guides_hold_the_same_code_but_for_comments() -> None:
    english, chinese = (blocks_of(guide) for guide in GUIDES.values())
    assert len(english) > 10
    assert [block.language for block in english] == [block.language for block in chinese]
    for one, other in zip(english, chinese, strict=True):
        assert one.without_comments == other.without_comments
        assert one.file == other.file


def test_the_example_is_made_of_the_guides_files() -> None:
    shared = [block for block in BLOCKS if (EXAMPLE / block.file).is_file()]
    assert len(shared) >= 6
    for block in shared:
        assert (EXAMPLE / block.file).read_text() == block.text


def test_only_what_an_app_needs_is_taken_from_scripts_dev(site: Site) -> None:
    assert set(site.variables) == ENVIRONMENT
    assert site.variables["RECOMMENDER_URL"] == site.dev.url


# Pushing and reading


def test_an_action_is_drained_and_changes_the_list(site: Site) -> None:
    reader = some_reader()
    first = site.app.call("readList", reader)
    assert (first["source"], len(first["items"])) == ("cold_start", 20)
    chosen = ids_in(first)[3]

    event = push(site.app, reader, chosen)

    eventually(lambda: events_of(site.dev, reader) == [(event, "like", chosen)])
    eventually(lambda: site.app.call("readList", reader)["source"] != "cold_start")
    assert chosen not in ids_in(site.app.call("readList", reader))


def test_a_list_is_read_from_the_cache_and_asked_for_where_there_is_none(site: Site) -> None:
    reader = some_reader()
    push(site.app, reader, "1")
    eventually(lambda: events_of(site.dev, reader))
    with site.starts(RECOMMENDER_URL=NOWHERE) as alone:
        assert alone.try_to_call("readList", reader).status_code == 500
        asked = site.app.call("readList", reader)
        assert asked["source"] == "computed"
        assert ids_in(alone.call("readList", reader)) == ids_in(asked)
        assert len(ids_in(alone.call("readList", reader, 5))) == 5
    assert site.app.call("readList", reader)["source"] == "cache"


def test_the_key_is_sent_and_a_refusal_is_named(site: Site) -> None:
    refusal = {"error": {"message": "This needs the admin key."}}
    with answering(401, refusal) as (url, requests), site.starts(RECOMMENDER_URL=url) as app:
        assert app.try_to_call("readList", "a b&c=d").status_code == 500
        eventually(lambda: "/api/recommend answered 401" in app.log.read_text())
    [(path, key, _)] = requests
    assert path == "/api/recommend?user_id=a+b%26c%3Dd&n=20"
    assert key == f"Bearer {site.variables['ADMIN_API_KEY']}"


def test_a_visitor_gets_popular_content_without_a_call_of_the_functions(site: Site) -> None:
    with site.starts(RECOMMENDER_URL=NOWHERE) as alone:
        popular = alone.call("readList", None)
    assert popular["user_id"] is None
    assert {item["source"] for item in popular["items"]} == {"popular"}


def test_trending_topics_come_by_language(site: Site) -> None:
    assert site.app.call("readTrendingTopics", "en")[0]["topic"] == "eclipse"
    assert site.app.call("readTrendingTopics", "zh")[0]["topic"] == "日食"
    assert {topic["language"] for topic in site.app.call("readTrendingTopics")} == {"en", "zh"}


@pytest.mark.parametrize(
    ("item", "english", "chinese"),
    [
        ({"source": "personal", "similar_to": "7"}, "Because you read “the title of 7”", "因为您读过“the title of 7”"),
        ({"source": "personal"}, "For you", "为您推荐"),
        ({"source": "trending"}, "Trending now", "正在流行"),
        ({"source": "popular"}, "Popular", "热门"),
        ({"source": "new"}, "New", "最新"),
    ],
)
def test_every_item_has_a_reason(site: Site, item: dict[str, str], english: str, chinese: str) -> None:
    assert [site.app.call("reasonOf", item, language) for language in ("en", "zh")] == [english, chinese]


def browse(site: Site, *arguments: str) -> dict[str, list[Any]]:
    """Runs BROWSER with the reader of its cookie, how many answers get lost, and what it likes."""
    (site.folder / "browser.mjs").write_text(BROWSER)
    command = ["node", "browser.mjs", site.app.url, *arguments]
    ended = subprocess.run(command, cwd=site.folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, list[Any]] = json.loads(ended.stdout)
    return answer


def drained(site: Site, reader: str) -> list[tuple[object, ...]]:
    """What the log holds of a reader once everything is in it that has been pushed so far."""
    last = push(site.app, reader, "1", "view")
    eventually(lambda: last in {event for event, _, _ in events_of(site.dev, reader)})
    return [event for event in events_of(site.dev, reader) if event[0] != last]


def test_a_browser_that_got_no_answer_sends_again_and_counts_once(site: Site) -> None:
    reader = str(uuid.uuid4())
    assert browse(site, reader, "1", "2") == {"statuses": [202, 202], "readers": [reader]}
    assert [content for _, _, content in drained(site, f"visitor:{reader}")] == ["2"]


def test_a_visitors_first_clicks_at_once_make_one_reader(site: Site) -> None:
    seen = browse(site, "", "0", "2", "3", "4")
    assert seen["statuses"] == [202, 202, 202]
    [_, reader] = seen["readers"]
    assert sorted(str(content) for _, _, content in drained(site, f"visitor:{reader}")) == ["2", "3", "4"]


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "null",
        "[]",
        '{"id": "1", "contentId": "1", "action": "like"}',
        '{"id": "0b5fd1ce-1111-4222-8333-444455556666", "contentId": 1, "action": "like"}',
        '{"id": "0b5fd1ce-1111-4222-8333-444455556666", "contentId": "", "action": "like"}',
        '{"id": "0b5fd1ce-1111-4222-8333-444455556666", "contentId": "1", "action": "destroy"}',
        json.dumps({"id": str(uuid.uuid4()), "contentId": "1" * 257, "action": "like"}),
    ],
)
def test_the_route_refuses_what_is_no_action(site: Site, body: str) -> None:
    answer = httpx.post(f"{site.app.url}/api/act", content=body)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_a_form_works_without_javascript_and_counts_once(site: Site) -> None:
    reader = str(uuid.uuid4())
    cookie = {"Cookie": f"reader={reader}"}
    page = site.app.get("/for-you", **cookie)
    assert "eclipse" in page.text
    form = re.findall(r"<form.*?</form>", page.text, re.DOTALL)[0]
    inputs = re.findall(r'<input type="hidden" name="([^"]*)"(?: value="([^"]*)")?/>', form)
    fields = {name: (None, html.unescape(value)) for name, value in inputs} | {"action": (None, "like")}
    for _ in range(2):
        assert httpx.post(f"{site.app.url}/for-you", files=fields, headers=cookie).status_code == 200
    [event] = drained(site, f"visitor:{reader}")
    assert event == (fields["id"][1], "like", fields["contentId"][1])


# Content


def test_the_view_is_content_as_the_functions_want_it(site: Site) -> None:
    answer = site.dev.get("/api/init")
    assert answer.status_code == 200, answer.text
    assert site.dev.rows("SELECT topics, language, available FROM content WHERE content_id = '1'") == [
        (["eclipse", "author:author 0"], "en", True)
    ]


def test_what_the_view_calls_unavailable_is_never_recommended(site: Site) -> None:
    reader, other = some_reader(), some_reader()
    push(site.app, other, "4")
    eventually(lambda: events_of(site.dev, other))
    gone = ids_in(site.app.call("readList", other))[0]
    with psycopg.connect(site.dev.variables["DATABASE_URL"]) as connection:
        connection.execute("UPDATE posts SET status = 'draft' WHERE id = %s", [gone])
    try:
        for user in (reader, other):
            asked = site.dev.get(f"/api/recommend?user_id={user}&n=100").json()
            assert gone not in ids_in(asked)
            assert len(ids_in(asked)) > 20
    finally:
        with psycopg.connect(site.dev.variables["DATABASE_URL"]) as connection:
            connection.execute("UPDATE posts SET status = 'published' WHERE id = %s", [gone])


def test_a_post_is_embedded_by_whatever_speaks_the_protocol(site: Site) -> None:
    vectors = [[0.25, 0.5], [0.75, 1]]
    with answering(200, {"data": [{"embedding": vector} for vector in vectors]}) as (url, requests):
        settings = {"EMBEDDINGS_URL": f"{url}/v1", "EMBEDDINGS_MODEL": "any-model", "EMBEDDINGS_KEY": "its-key"}
        with site.starts(**settings) as app:
            assert app.call("embed", ["one", "two, 三"]) == vectors
            [[text, values]] = app.call("embedPost", {"id": "5", "title": "A title", "body": "A body"})
    assert requests == [
        ("/v1/embeddings", "Bearer its-key", {"model": "any-model", "input": ["one", "two, 三"]}),
        ("/v1/embeddings", "Bearer its-key", {"model": "any-model", "input": ["A title\n\nA body"]}),
    ]
    with psycopg.connect(site.dev.variables["DATABASE_URL"], cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(text, values)
    assert site.dev.rows("SELECT embedding::text FROM content WHERE content_id = '5'") == [("[0.25,0.5]",)]


@contextmanager
def answering(status: int, document: object) -> Iterator[tuple[str, list[tuple[str, str | None, object]]]]:
    """The address of a server that answers this, and the requests: path, Authorization, body."""
    requests: list[tuple[str, str | None, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.path, self.headers["Authorization"], json.loads(body or b"null")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}", requests


def test_the_commands_of_the_guide_show_that_it_works(site: Site) -> None:
    [commands] = [block.text for block in BLOCKS if block.language == "bash"]
    environment = {"PATH": "/usr/bin:/bin", **site.variables}
    ended = subprocess.run(["bash", "-ec", commands], env=environment, capture_output=True, text=True, check=True)
    decoder = json.JSONDecoder()
    pending, end = decoder.raw_decode(ended.stdout)
    assert isinstance(pending["result"], int)
    document, _ = decoder.raw_decode(ended.stdout[end:].lstrip())
    assert (document["source"], len(document["items"])) == ("cold_start", 3)


# The example


def cards(page: str) -> list[str]:
    return re.findall(r'data-content="([^"]+)"', page)


def test_the_feed_changes_after_a_click(site: Site) -> None:
    first = site.app.get("/")
    assert "This is what everybody reads." in first.text
    assert "Popular" in first.text
    chosen = cards(first.text)[0]

    body = {"id": str(uuid.uuid4()), "contentId": chosen, "action": "like"}
    told = httpx.post(f"{site.app.url}/api/act", json=body)
    assert told.status_code == 202
    made = told.headers["set-cookie"]
    assert all(part in made for part in ("HttpOnly", "Secure", "SameSite=lax"))

    cookie = {"Cookie": made.partition(";")[0]}
    eventually(lambda: chosen not in cards(site.app.get("/", **cookie).text))
    second = site.app.get("/", **cookie).text
    assert "This list is made for you." in second
    assert len(cards(second)) == 20


def test_a_visitors_page_needs_the_cache_alone(site: Site) -> None:
    with site.starts(RECOMMENDER_URL=NOWHERE) as alone:
        assert len(cards(alone.get("/").text)) == 20


@pytest.mark.parametrize("cookie", ["reader=", "reader=reader-1", "reader=visitor:0b5fd1ce"])
def test_a_cookie_that_the_app_did_not_make_names_nobody(site: Site, cookie: str) -> None:
    # reader-1 has read a week long
    assert "This is what everybody reads." in site.app.get("/", Cookie=cookie).text


def test_the_feed_is_in_the_language_of_the_browser(site: Site) -> None:
    chinese = site.app.get("/", **{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}).text
    assert '<html lang="zh">' in chinese
    assert all(word in chinese for word in ("您的信息流", "热门话题", "日食"))
    english = site.app.get("/", **{"Accept-Language": "en-GB,en;q=0.9,zh;q=0.8"}).text
    assert '<html lang="en">' in english
    assert all(word in english for word in ("Trending topics", "eclipse"))


def test_the_feed_is_for_everybody_and_fits_a_phone(site: Site) -> None:
    with running_browser() as browser:
        for locale, scheme in itertools.product(("en-GB", "zh-CN"), SCHEMES):
            with browser.new_page(locale=locale, color_scheme=scheme) as page:
                page.goto(site.app.url)
                for width in (1280, 390, 320):
                    page.set_viewport_size({"width": width, "height": 844})
                    assert page.locator("h1").is_visible()
                    assert violations(page) == []
                    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_no_secret_and_no_address_reaches_the_browser(site: Site) -> None:
    served = [site.app.get(path).text for path in ("/", "/for-you")]
    scripts = sorted(set(re.findall(r'/_next/static/[^"\\]+', "".join(served))))
    assert any(script.endswith(".js") for script in scripts)
    served += [site.app.get(script).text for script in scripts]
    served += [file.read_text(errors="replace") for file in (site.folder / ".next" / "static").rglob("*.js")]
    for text in served:
        for name, value in site.variables.items():
            assert value not in text, name
        assert "UPSTASH" not in text


def test_a_client_component_that_imports_the_client_of_redis_is_not_built(site: Site) -> None:
    page = '"use client";\nimport { readList } from "@/lib/recommendations";\nexport default () => String(readList);\n'
    with app_folder({"app/page.tsx": page}) as folder:
        built = build(folder)
    assert built.returncode != 0
    assert "server-only" in built.stdout + built.stderr


def test_the_page_stands_while_the_services_are_away(site: Site) -> None:
    with site.starts(UPSTASH_REDIS_REST_URL=NOWHERE, RECOMMENDER_URL=NOWHERE) as alone:
        page = alone.get("/")
    assert page.status_code == 200
    assert "Recommendations are away for the moment." in page.text


def test_the_packages_are_the_pinned_ones(site: Site) -> None:
    for name, version in json.loads((EXAMPLE / "package.json").read_text())["dependencies"].items():
        installed = json.loads((PACKAGES / "node_modules" / name / "package.json").read_text())
        assert installed["version"] == version
