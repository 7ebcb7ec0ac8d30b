"""packaging/kubernetes.yml, held against the schemas of the versions of Kubernetes that docs/operations.md promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[3]
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "packaging/kubernetes.yml").read_text()))
LATEST = ".".join(kubernetes_validate.latest_version().split(".")[:2])


def check(document: dict[str, Any], version: str) -> None:
    """As a server does that refuses fields which it does not know."""
    kubernetes_validate.validate(document, version, strict=True)


def promised() -> str:
    """The oldest version that is said to do."""
    [version] = re.findall(r"needs Kubernetes (1\.\d+)", (ROOT / "docs/operations.md").read_text())
    return str(version)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_the_promised_versions_know_every_field(document: dict[str, Any]) -> None:
    for version in (promised(), LATEST):
        check(document, version)


def test_what_is_said_of_older_ones_is_so() -> None:
    """They do not know `appArmorProfile`, and with the annotation in its place they take it."""
    _, daemon_set = DOCUMENTS
    older = f"1.{int(promised().partition('.')[2]) - 1}"
    with pytest.raises(kubernetes_validate.ValidationError, match="appArmorProfile"):
        check(daemon_set, older)
    [container] = daemon_set["spec"]["template"]["spec"]["containers"]
    context = {name: value for name, value in container["securityContext"].items() if name != "appArmorProfile"}
    template = daemon_set["spec"]["template"]
    annotated = {**template["metadata"], "annotations": dict([annotation(container["name"])])}
    spec = {**template["spec"], "containers": [{**container, "securityContext": context}]}
    check({**daemon_set, "spec": {**daemon_set["spec"], "template": {"metadata": annotated, "spec": spec}}}, older)


def annotation(container: str) -> tuple[str, str]:
    """What docs/operations.md has in place of the field."""
    text = (ROOT / "docs/operations.md").read_text()
    [(name, value)] = re.findall(rf"`(container\.apparmor\.\S+/{container}): (\w+)`", text)
    return name, value
