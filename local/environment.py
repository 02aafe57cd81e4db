"""Which services scripts/dev uses: its embedded ones, except where .env.local or .env names a real one."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

# For each service the variables that name it. The shell's own environment doesn't count: a DATABASE_URL that was
# exported for another project must not be written to.
SERVICES = {
    "redis": ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "KV_REST_API_URL", "KV_REST_API_TOKEN"),
    "postgres": ("DATABASE_URL", "POSTGRES_URL"),
    "qstash": ("QSTASH_TOKEN", "QSTASH_URL", "QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"),
}
FIRST_NAMES = {
    "KV_REST_API_URL": "UPSTASH_REDIS_REST_URL",
    "KV_REST_API_TOKEN": "UPSTASH_REDIS_REST_TOKEN",
    "POSTGRES_URL": "DATABASE_URL",
}


@dataclass(frozen=True)
class Named:
    """What the files say: every variable with a value, by its first name too, and the services that they name."""

    values: dict[str, str]
    real: frozenset[str]


def read_files(folder: Path) -> Named:
    """.env.local wins over .env. A variable without a value, as in a fresh copy of .env.example, names nothing."""
    values: dict[str, str] = {}
    for name in (".env", ".env.local"):
        values |= {key: value for key, value in dotenv_values(folder / name).items() if value and value.strip()}
    values = {FIRST_NAMES[name]: value for name, value in values.items() if name in FIRST_NAMES} | values
    real = {service for service, names in SERVICES.items() if any(name in values for name in names)}
    return Named(values, frozenset(real))


def function_environment(
    shell: Mapping[str, str], named: Named, embedded: Mapping[str, str], *, port: int
) -> dict[str, str]:
    """The environment of the functions. Embedded services fill in for those that the files don't name."""
    services = {name for names in SERVICES.values() for name in names}
    environment = {name: value for name, value in shell.items() if name not in services}
    environment.pop("NEXT_PUBLIC_APP_URL", None)
    environment |= {"NEXT_PUBLIC_APP_URL": f"http://localhost:{port}"} | dict(embedded) | named.values
    environment["ALLOW_UNSIGNED_LOCAL"] = "1"
    for name in ("VERCEL_ENV", "VERCEL_PROJECT_PRODUCTION_URL"):
        environment.pop(name, None)  # `vercel env pull` writes them; this is no deployment
    return environment


def stay_on_this_machine(environ: MutableMapping[str, str]) -> None:
    """Keeps what the shell says about proxies and about Postgres from coming between us and our own servers."""
    for name in [name for name in environ if name.startswith("PG")]:
        del environ[name]  # the client library reads them beside the URL
    unproxied = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for name in ("no_proxy", "NO_PROXY"):
        environ[name] = ",".join(filter(None, (unproxied, "localhost,127.0.0.1")))
