"""What the tests of misconfigurations share."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.settings import Settings
from local.qstash.server import QStashServer
from tests.api.misconfiguration import World
from tests.conftest import MakeDatabase, Servers
from tests.deployment import serving_deployment
from tests.support import qstash_settings


@pytest.fixture
def world(
    settings: Settings,
    qstash: QStashServer,
    servers: Servers,
    make_database: MakeDatabase,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[World]:
    with serving_deployment() as deployment:
        settings = dataclasses.replace(settings, app_url=deployment.url, **qstash_settings(qstash))
        yield World(settings, deployment, qstash, servers, make_database, monkeypatch, deployment.afterwards, tmp_path)
