"""What the manifests, the compose file and the alerts name exists in the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopwright.service.accounts import CORE, identities
from loopwright.service.permissions import SERVICES
from loopwright.service.provision import ProvisionSettings
from loopwright.service.settings import ServiceSettings
from loopwright.service.streams import declarations
from loopwright_planner.settings import PlannerSettings
from loopwright_state.settings import StateSettings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
SETTINGS = (ServiceSettings, StateSettings, PlannerSettings, ProvisionSettings)


def resources(name: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all((ROOT / "k8s" / name).read_text()) if item]


def known_variables() -> set[str]:
    names = {name for kind in SETTINGS for name in kind.model_fields}
    return {f"LOOPWRIGHT_{name.upper()}" for name in names} | {"LOOPWRIGHT_DECLARE_STREAMS"}


def test_every_service_has_its_manifest_and_its_key() -> None:
    for service in SERVICES:
        deployment = resources(f"base/{service}.yaml")[0]
        pod = deployment["spec"]["template"]["spec"]
        secrets = [item["secret"]["secretName"] for item in pod["volumes"] if "secret" in item]
        assert secrets == [f"loopwright-{service}"]
        composed = COMPOSE["services"][service]
        assert service in composed["secrets"]
        key = composed["environment"]["LOOPWRIGHT_NATS_NKEY_FILE"]
        assert key == f"/run/secrets/{service}"
    assert set(COMPOSE["secrets"]) - {"store"} <= set(identities())


def test_every_pod_is_restricted() -> None:
    for service in SERVICES:
        pod = resources(f"base/{service}.yaml")[0]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["terminationGracePeriodSeconds"] > 20  # of the ConfigMap's LOOPWRIGHT_GRACE_S
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert context["runAsNonRoot"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context["allowPrivilegeEscalation"]
            assert {"requests", "limits"} <= set(container["resources"])


def test_only_the_provisioning_holds_the_administrators_key() -> None:
    holders = [
        name for name, item in COMPOSE["services"].items() if "admin" in item.get("secrets", ())
    ]
    assert holders == ["provision"]
    for file in (ROOT / "k8s/base").glob("*.yaml"):
        assert ("loopwright-admin" in file.read_text()) == (file.name == "provision.yaml")


def test_every_variable_that_is_set_is_one_that_is_read() -> None:
    config = resources("base/configmap.yaml")[0]["data"]
    named = set(config)
    for text in (*(ROOT / "k8s/base").glob("*.yaml"), ROOT / "docker-compose.yml"):
        named |= set(re.findall(r"name: (LOOPWRIGHT_\w+),", text.read_text()))
    for service in COMPOSE["services"].values():
        environment = service.get("environment", {})
        named |= {name for name in environment if name.startswith("LOOPWRIGHT_")}
    assert named <= known_variables()


@pytest.mark.parametrize("scaled", resources("components/autoscaling/scaledobjects.yaml"))
def test_scaling_follows_a_consumer_that_exists(scaled: dict[str, Any]) -> None:
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    streams = {item.stream.name: item for item in declarations(ServiceSettings())}
    consumers = {item.durable_name for item in streams[trigger["stream"]].consumers}
    assert trigger["consumer"] in consumers
    assert trigger["account"] == CORE
    assert scaled["spec"]["scaleTargetRef"]["name"] == trigger["consumer"]


def test_every_metric_of_an_alert_is_measured() -> None:
    code = "".join(
        file.read_text()
        for folder in ("shared", "services")
        for file in (ROOT / folder).rglob("*.py")
    )
    for rule in ALERTS:
        for metric in re.findall(r"loopwright_\w+", rule["expr"]):
            assert f'"{metric.removesuffix("_total")}"' in code, rule["alert"]


def test_every_alert_has_its_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs/operations.md").read_text()
    for rule in ALERTS:
        assert f"\n### {rule['alert']}\n" in runbook
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_copies_of_configuration_are_the_same() -> None:
    for copy, original in (
        ("k8s/base/nats.conf", "deploy/nats.conf"),
        ("k8s/components/observability/alerts.yml", "deploy/alerts.yml"),
    ):
        assert (ROOT / copy).read_text() == (ROOT / original).read_text()
