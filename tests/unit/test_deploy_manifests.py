"""The manifests stay honest: every service is there, probed, pinned, and configured by names that exist.

Without kubectl the Kubernetes files are read as they are instead of rendered; nothing is skipped.
"""

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from chassis.grpc_server import LIVENESS
from chassis.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy" / "k8s"
SERVICES = {"gateway": "gateway", "scheduler": "scheduler", "scraper": "scraper", "worker-registry": "worker_registry"}
STORES = {"mongodb", "redis", "nats"}
OVERLAYS = ("dev", "prod")
SECRETS = {
    "TRAWL_API_KEY", "MONGODB_PASSWORD", "MONGODB_REPLICA_KEY", "REDIS_PASSWORD", "NATS_TOKEN", "JWT_SECRET",
    "SECRETS_KEY",
}  # fmt: skip
# What manifests say to each other and no service reads.
BETWEEN_MANIFESTS = {"NATS_TOKEN", "REDIS_PASSWORD", "MONGODB_PASSWORD", "MONGODB_HOSTS"}
# Settings that services agree on, for services whose settings can't be imported.
AGREED = {
    *("GRPC_PORT", "SCHEDULER_TARGET", "SCRAPER_TARGET", "REGISTRY_TARGET", "TRAWL_API_KEY", "GATEWAY_HOST"),
    *("PORT_SCHEDULER", "PORT_SMARTRPA", "PORT_MANAGEMENT", "PORT_XGET", "PORT_PIPELINE", "AUTH_REQUIRED"),
    *("WORKER_ID", "EXECUTORS", "SCRIPTS_DIR", "WORK_DIR", "CHROMIUM_PATH"),
}


def names_of_settings() -> set[str]:
    """Environment names that some service reads; a service without settings yet counts with the agreed ones."""
    names = {field.upper() for field in ServiceSettings.model_fields}
    for package in SERVICES.values():
        if importlib.util.find_spec(f"{package}.settings") is None:
            names |= AGREED
            continue
        module = importlib.import_module(f"{package}.settings")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, ServiceSettings):
                names |= {field.upper() for field in found.model_fields}
    return names


def rendered(overlay: str) -> list[dict[str, Any]]:
    """The overlay's objects; without kubectl those of the base, with the generators' settings still in their files."""
    return rendered_at(K8S / "overlays" / overlay)


def rendered_at(folder: Path) -> list[dict[str, Any]]:
    if shutil.which("kubectl"):
        done = subprocess.run(
            ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]
    return [one for path in resources(folder) for one in yaml.safe_load_all(path.read_text()) if one]


def resources(folder: Path) -> Iterator[Path]:
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = (folder / name).resolve()
        assert path.exists(), f"{folder.name} names {name}, which is not there"
        yield from resources(path) if path.is_dir() else [path]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Kind, name, pod and each of its containers."""
    for one in objects:
        if one["kind"] in {"Deployment", "StatefulSet"}:
            pod = one["spec"]["template"]["spec"]
            for container in pod["containers"]:
                yield one["kind"], one["metadata"]["name"], pod, container


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_and_store_runs_and_can_be_reached(overlay: str) -> None:
    objects = rendered(overlay)
    kinds = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for name in SERVICES:
        assert {("Deployment", name), ("Service", name)} <= kinds
    for name in STORES:
        assert {("StatefulSet", name), ("Service", name)} <= kinds


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_probed_bounded_and_confined(overlay: str) -> None:
    for _, name, pod, container in pods(rendered(overlay)):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is False, name
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name
        wanted = "httpGet" if name == "gateway" else "grpc"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert probe in container, (name, probe)
            if name in SERVICES:
                assert wanted in container[probe], (name, probe)


@pytest.mark.parametrize("folder", [*(K8S / "overlays" / overlay for overlay in OVERLAYS), K8S / "seccomp"])
def test_the_cluster_knows_every_field(folder: Path) -> None:
    for one in rendered_at(folder):
        kubernetes_validate.validate(one, "1.32", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_restarted_for_what_is_down_elsewhere(overlay: str) -> None:
    for _, name, _, container in pods(rendered(overlay)):
        if name not in SERVICES:
            continue
        for probe in (container["startupProbe"], container["livenessProbe"]):
            if name == "gateway":
                assert probe["httpGet"]["path"] == "/healthz"
            else:
                assert probe["grpc"]["service"] == LIVENESS, name
        ready = container["readinessProbe"]
        assert ready.get("httpGet", {}).get("path", "/readyz") == "/readyz"
        assert "service" not in ready.get("grpc", {})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pods_grace_is_as_long_as_it_may_drain(overlay: str) -> None:
    for _, name, pod, container in pods(rendered(overlay)):
        if name not in SERVICES:
            continue
        command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command == "sleep"
        drain = [float(one["value"]) for one in container["env"] if one["name"] == "DRAIN_SECONDS"]
        assert pod["terminationGracePeriodSeconds"] >= float(seconds) + sum(drain) + 20, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_can_be_applied_again_and_keeps_to_the_restricted_standard(overlay: str) -> None:
    objects = rendered(overlay)
    # A Job's template can't be changed, and ours would with every setting.
    assert not [one for one in objects if one["kind"] == "Job"]
    (namespace,) = (one for one in objects if one["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for _, name, pod, container in pods(objects):
        assert pod["securityContext"]["seccompProfile"]["type"] in {"RuntimeDefault", "Localhost"}, name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name


def test_the_profile_for_chromium_is_plain_enough_for_every_runtime_and_allows_no_more_than_it_needs() -> None:
    profile = json.loads((K8S / "seccomp" / "chromium.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    # containerd ignores conditions of Docker's format, and would allow what they guard.
    assert {name for rule in profile["syscalls"] for name in rule} <= {"names", "action", "args", "errnoRet"}
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert {"clone", "unshare", "chroot", "seccomp"} <= allowed
    assert not allowed & {
        *(
            "mount",
            "setns",
            "bpf",
            "keyctl",
            "add_key",
            "io_uring_setup",
            "userfaultfd",
            "perf_event_open",
            "pivot_root",
        ),
        *("init_module", "kexec_load", "open_by_handle_at", "reboot", "move_mount", "fsopen", "clone3"),
    }
    scraper = next(pod for _, name, pod, _ in pods(rendered("prod")) if name == "scraper")
    (daemons,) = (one for one in rendered_at(K8S / "seccomp") if one["kind"] == "DaemonSet")
    (node,) = (one["hostPath"]["path"] for one in daemons["spec"]["template"]["spec"]["volumes"] if "hostPath" in one)
    wanted = scraper["securityContext"]["seccompProfile"]["localhostProfile"]
    assert f"{node}/chromium.json" == f"/var/lib/kubelet/seccomp/{wanted}"
    options = compose()["services"]["scraper"]["security_opt"]
    (place,) = (one.removeprefix("seccomp:") for one in options if one.startswith("seccomp:"))
    assert (ROOT / place).is_file()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_select_the_pods_and_ports_that_exist(overlay: str) -> None:
    objects = rendered(overlay)
    owners = {one["metadata"]["name"]: one for one in objects if one["kind"] in {"Deployment", "StatefulSet"}}
    for service in (one for one in objects if one["kind"] == "Service"):
        template = owners[service["metadata"]["name"]]["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ports = {port["name"]: port["containerPort"] for one in template["spec"]["containers"] for port in one["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_environment_has_only_names_that_a_service_reads(overlay: str) -> None:
    known = names_of_settings() | BETWEEN_MANIFESTS
    for _, name, _, container in pods(rendered(overlay)):
        if name in SERVICES:
            unknown = {one["name"] for one in container["env"]} - known
            assert not unknown, f"{name}: {unknown}"
    config = dict(line.split("=", 1) for line in (K8S / "base" / "config.env").read_text().splitlines())
    assert set(config) <= known


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_that_is_used_is_generated_and_none_is_written_out(overlay: str) -> None:
    lines = (K8S / "overlays" / overlay / "secrets.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(given) == SECRETS
    if overlay == "prod":
        assert set(given.values()) == {"replace-me"}
    for _, name, _, container in pods(rendered(overlay)):
        for one in container.get("env", []):
            if reference := one.get("valueFrom", {}).get("secretKeyRef"):
                assert reference["key"] in given, (name, reference)


def test_production_has_three_members_of_what_must_not_fail() -> None:
    kustomization = yaml.safe_load((K8S / "overlays" / "prod" / "kustomization.yaml").read_text())
    counts = {one["name"]: one["count"] for one in kustomization["replicas"]}
    assert (counts["nats"], counts["mongodb"]) == (3, 3)
    assert all(counts[name] >= 2 for name in SERVICES)
    literals = next(one for one in kustomization["configMapGenerator"] if one["name"] == "trawl-config")["literals"]
    assert "STREAM_REPLICAS=3" in literals
    config = (K8S / "overlays" / "prod" / "nats.conf").read_text()
    assert config.count("nats://nats-") == counts["nats"]


def images() -> Iterator[str]:
    """Every image that is named anywhere, with its tag."""
    for one in compose()["services"].values():
        yield one["image"]
    kustomization = yaml.safe_load((K8S / "base" / "kustomization.yaml").read_text())
    tags = {one["name"]: one["newTag"] for one in kustomization["images"]}
    for overlay in OVERLAYS:
        for _, _, _, container in pods(rendered(overlay)):
            image = container["image"]
            yield image if ":" in image else f"{image}:{tags[image]}"
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    yield from re.findall(r"^ARG PYTHON_IMAGE=(\S+)", dockerfile, re.MULTILINE)


def test_every_image_has_a_tag_and_none_is_latest() -> None:
    found = list(images())
    assert len(found) > 15
    for image in found:
        name, _, tag = image.rpartition(":")
        assert name, image
        assert tag, image
        assert tag != "latest"


def test_compose_runs_everything_with_health_checks_and_named_volumes() -> None:
    file = compose()
    assert set(file["services"]) == set(SERVICES) | STORES
    for name, service in file["services"].items():
        assert service["healthcheck"]["test"], name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in file["volumes"], (name, volume)
        if name in SERVICES:
            assert service["build"]["target"] == name
            assert set(service["depends_on"]) == STORES
            assert "ports" not in service or name == "gateway"
        else:
            assert "ports" not in service, f"{name} is not for the outside"
    assert file["services"]["gateway"]["environment"]["AUTH_REQUIRED"] == "all"


def test_compose_has_only_names_that_exist_and_its_secrets_come_from_the_env_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    known = names_of_settings()
    for name, service in compose()["services"].items():
        if name in SERVICES:
            assert set(service["environment"]) <= known, name
    example = {line.split("=", 1)[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line}
    assert example == SECRETS
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) == SECRETS
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_dockerfile_has_a_target_for_each_service_and_none_runs_as_root() -> None:
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    by_name = {re.match(r"\S+ AS (\S+)", stage)[1]: stage for stage in stages}
    for name in SERVICES:
        assert by_name[name].startswith("runtime")
        users = re.findall(r"^USER (\S+)", by_name["runtime"] + by_name[name], re.MULTILINE)
        assert users[-1] == "10001:10001"
        assert f'ENTRYPOINT ["trawl-{name}"]' in by_name[name] or f'"trawl-{name}"]' in by_name[name]
        assert f"requirements_of.py {name}" in by_name[f"built-{name}"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_part_of_the_lock_is_whole_and_no_more(service: str) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    script = [sys.executable, "deploy/docker/requirements_of.py", service]
    part = subprocess.run(script, input=lock, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True).stdout
    names = set(re.findall(r"^([a-z0-9-]+)==", part, re.MULTILINE))
    assert {"grpcio", "nats-py", "motor", "pymongo", "redis", "pydantic-core"} <= names
    assert ("playwright" in names) == (service == "scraper")
    assert ("fastapi" in names) == (service == "gateway")
    assert not names & {"pytest", "mypy", "ruff", "nx-27017"}
    assert part.count("--hash=sha256:") >= len(names)
