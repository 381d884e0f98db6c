"""The container set-up is checked as far as that goes without a container engine."""

from __future__ import annotations

import re

import pytest
import yaml

from annotator.cli.commands import command_line
from tests.support import ROOT


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_services_refer_to_what_exists(compose):
    services = compose["services"]
    assert set(services) == {"database", "migrate", "annotator", "scheduler", "worker"}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).is_file()


def test_images_are_named_by_digest(compose):
    dockerfile = (ROOT / "Dockerfile").read_text()
    named = re.findall("(?m)^ARG BASE=(.*)", dockerfile)
    for image in (compose["services"]["database"]["image"], *named):
        assert re.search(":[0-9.]+(-slim)?@sha256:[0-9a-f]{64}$", image)
    assert re.findall("(?m)^FROM (\\S+)", dockerfile) == ["${BASE}"] * 2


def test_commands_exist(compose):
    for name in ("migrate", "annotator"):
        assert compose["services"][name]["command"][0] in command_line.commands
    check = compose["services"]["annotator"]["healthcheck"]["test"]
    assert check[:2] == ["CMD", "annotator"]
    status = command_line.commands[check[2]]
    flags = {flag for option in status.params for flag in option.opts}
    assert set(check[3:]) <= flags


def test_the_daemon_waits_for_the_migration(compose):
    daemon = compose["services"]["annotator"]
    assert daemon["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", ["migrate", "annotator", "scheduler", "worker"])
def test_our_containers_have_no_rights_to_spare(compose, name):
    service = compose["services"][name]
    assert service["user"] == "10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_cluster_is_started_only_if_asked_for_and_reached_only_by_the_daemon(compose):
    services = compose["services"]
    assert {name for name, each in services.items() if each.get("profiles")} == {
        "scheduler",
        "worker",
    }
    members = {name for name, each in services.items() if "cluster" in each.get("networks", ())}
    assert members == {"annotator", "scheduler", "worker"}
    assert compose["networks"]["cluster"] == {"internal": True}
    assert not any("ports" in each for each in services.values())
    assert services["worker"]["secrets"] == ["reader_url"]


def test_commands_of_the_cluster_exist(compose):
    from distributed.cli import dask_scheduler, dask_worker

    for name, command in (("scheduler", dask_scheduler.main), ("worker", dask_worker.main)):
        service = compose["services"][name]
        assert service["entrypoint"] == ["dask", name]
        flags = {
            flag for option in command.params for flag in (*option.opts, *option.secondary_opts)
        }
        given = {word.split("=")[0] for word in service["command"] if word.startswith("--")}
        assert given <= flags


def test_no_secret_stands_in_the_file(compose):
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"PASSWORD:\s", text)
    for name in compose["services"]:
        for variable, value in compose["services"][name].get("environment", {}).items():
            if "PASSWORD" in variable or "URL" in variable:
                assert value.startswith("/run/secrets/")


def test_the_image_copies_what_exists_and_is_unprivileged():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    sources = [
        line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line
    ]
    for source in sources:
        assert (ROOT / source).exists(), source
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] == "annotator"
    assert "--require-hashes -r requirements/run.txt" in " ".join(lines)
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for name in kept:
        assert (ROOT / name).exists(), name
