"""How each variable is set: where its value stands, and the line to paste with it."""

from lib.text import Text

_WHERE = Text("On Vercel set it under Settings → Environment Variables and deploy again; locally, in `.env.local`:")
_QSTASH = Text("Copy it from https://console.upstash.com/qstash.")
_REDIS = Text("Copy it from the database's page at https://console.upstash.com/redis (section REST API).")

# What to do, and the line as it should look.
_FIXES = {
    "QSTASH_TOKEN": (_QSTASH, "QSTASH_TOKEN=eyJ…"),
    "QSTASH_CURRENT_SIGNING_KEY": (_QSTASH, "QSTASH_CURRENT_SIGNING_KEY=sig_…"),
    "QSTASH_NEXT_SIGNING_KEY": (_QSTASH, "QSTASH_NEXT_SIGNING_KEY=sig_…"),
    "QSTASH_URL": (
        Text(
            "Leave it out, or copy it from https://console.upstash.com/qstash where your account is in another region."
        ),
        "QSTASH_URL=https://qstash-us-east-1.upstash.io",
    ),
    "NEXT_PUBLIC_APP_URL": (
        Text("Use the public address of the app, without a path."),
        "NEXT_PUBLIC_APP_URL=https://shop.example.com",
    ),
    "UPSTASH_REDIS_REST_URL": (_REDIS, "UPSTASH_REDIS_REST_URL=https://….upstash.io"),
    "UPSTASH_REDIS_REST_TOKEN": (_REDIS, "UPSTASH_REDIS_REST_TOKEN=A…"),
    "DATABASE_URL": (
        Text("Copy the connection string of your Postgres, for example from https://console.neon.tech."),
        "DATABASE_URL=postgresql://user:password@host/database?sslmode=require",
    ),
    "ADMIN_API_KEY": (
        Text("Make a long random string, for example with `openssl rand -hex 24`."),
        "ADMIN_API_KEY=…",
    ),
    "VERCEL_AUTOMATION_BYPASS_SECRET": (
        Text(
            "Copy it from the project on Vercel: Settings → Deployment Protection → Protection Bypass for Automation."
        ),
        "VERCEL_AUTOMATION_BYPASS_SECRET=…",
    ),
}

KEYS_FIX = Text(
    "{source} {where}\n{line}",
    source=Text("Copy both again from https://console.upstash.com/qstash (Signing Keys)."),
    where=_WHERE,
    line="QSTASH_CURRENT_SIGNING_KEY=sig_…\nQSTASH_NEXT_SIGNING_KEY=sig_…",
)


def how_to_set(variable: str) -> Text:
    """Raises KeyError for a variable that has a default."""
    source, line = _FIXES[variable]
    return Text("{source} {where}\n{line}", source=source, where=_WHERE, line=line)
