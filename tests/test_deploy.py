"""What docs/deploy and app.json say is taken by what reads it, and agrees with the code."""

import copy
import json
import re
import shlex
import subprocess
import tomllib
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import redis
import yaml
from clients import Client
from factories import NOON
from serving import serving

from shared import compute, db, tokens
from shared.compute_schema import ProfileFieldsSchema
from shared.errors import SettingsError
from shared.messages import RUNS_QUEUE
from shared.settings import PREFIX, SECRET_PREFIX, Settings, load, variable
from shared.states import Role
from worker.process import _LAST_WORDS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "docs" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DATA = Path(__file__).parent / "data"

# The oldest that the manifests are for, and the newest whose schemas we have.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
KEDA = "keda.sh/v1alpha1"
# The pods, and the line of the Procfile that says what runs in them.
PROCESSES = {
    "migrate": "release",
    "api": "web",
    "scheduler": "scheduler",
    "worker": "worker",
    "worker-spot-large": "batch",
}
# What KEDA's metrics-api scaler reads; its schema leaves the metadata of triggers open.
METRICS_API = {"url", "valueLocation", "targetValue", "authMode"}

MANIFESTS = [
    pytest.param(document, id=f"{path.name}-{document['kind']}-{document['metadata']['name']}")
    for path in sorted(KUBERNETES.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if path.name != "kustomization.yaml" and document is not None
]
OBJECTS = [param.values[0] for param in MANIFESTS]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
APP = json.loads((ROOT / "app.json").read_text())
PROFILES = {
    name: ProfileFieldsSchema().load(table)
    for name, table in tomllib.loads((DEPLOY / "compute.toml").read_text()).items()
}


def schema(name):
    return json.loads((DATA / name).read_text())


def of_kind(*kinds):
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] in kinds}


def check(document, version=VERSIONS[-1]):
    """Raise `jsonschema.ValidationError` on what the API server would not take."""
    if document["apiVersion"] == KEDA:
        jsonschema.validate(document, schema(f"keda/{document['kind'].lower()}.json"))
    else:
        kubernetes_validate.validate(document, version, strict=True)


WORKLOADS = of_kind("Deployment", "Job")
PODS = {name: each["spec"]["template"] for name, each in WORKLOADS.items()}
SCALED = of_kind("ScaledObject")


def container(name):
    (only,) = PODS[name]["spec"]["containers"]
    return only


def own_variables(name):
    return {each["name"]: each["value"] for each in container(name).get("env", [])}


def environment_of(name):
    """What the processes in a pod see, with the placeholders of the secrets."""
    found = {}
    for source in container(name).get("envFrom", []):
        if "configMapRef" in source:
            found |= of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
        else:
            found |= of_kind("Secret")[source["secretRef"]["name"]]["stringData"]
    return found | own_variables(name)


def settings_of(name):
    environ = environment_of(name)
    if variable("admin_token") in environ:
        environ[variable("admin_token")] = "0" * 64
    return load(environ)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", MANIFESTS)
def test_kubernetes_takes_every_object(document, version):
    check(document, version)

    inside = document["metadata"].get("namespace", document["metadata"]["name"])
    assert inside == "agent-manager"


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("Namespace", ("metadata", "labels"), "lables"),
        ("ConfigMap", ("data",), "date"),
        ("Secret", ("stringData",), "stringdata"),
        ("Job", ("spec", "backoffLimit"), "backOffLimit"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "resources"), "resource"),
        ("Deployment", ("spec", "template", "spec", "securityContext", "runAsUser"), "runAs"),
        ("Service", ("spec", "ports", 0, "targetPort"), "target"),
        ("PodDisruptionBudget", ("spec", "maxUnavailable"), "maxUnavailible"),
        ("ScaledObject", ("spec", "maxReplicaCount"), "maxReplicas"),
        ("ScaledObject", ("spec", "triggers", 0, "authenticationRef"), "authRef"),
        ("TriggerAuthentication", ("spec", "secretTargetRef", 0, "parameter"), "parametre"),
    ],
)
def test_a_misspelt_key_is_refused(kind, path, wrong):
    document = copy.deepcopy(next(iter(of_kind(kind).values())))
    check(document)
    *parents, right = path
    inner = document
    for each in parents:
        inner = inner[each]
    inner[wrong] = inner.pop(right)

    with pytest.raises(jsonschema.ValidationError):
        check(document)


def test_the_kustomization_names_what_there_is():
    told = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())

    files = {path.name for path in KUBERNETES.glob("*.yaml")}
    apart = {"kustomization.yaml", "secrets.example.yaml", "keda.yaml"}
    assert told.keys() == {"apiVersion", "kind", "resources", "images"}
    assert set(told["resources"]) == files - apart
    (image,) = told["images"]
    assert image.keys() == {"name", "newName", "newTag"}
    assert {container(name)["image"] for name in PODS} == {image["name"]}


@pytest.mark.parametrize("name", PODS)
def test_the_environment_of_each_pod_is_one_to_start_with(name):
    settings = settings_of(name)

    assert settings.database_url.startswith("postgresql://")
    # Else the variables that describe the services of a namespace might look like settings.
    assert PODS[name]["spec"]["enableServiceLinks"] is False


def test_only_who_needs_a_secret_has_it():
    assert [name for name in PODS if settings_of(name).admin_token] == ["api"]
    assert [name for name in PODS if settings_of(name).secrets] == ["worker-spot-large", "worker"]


def test_a_token_that_was_left_as_it_is_keeps_the_api_from_starting():
    with pytest.raises(SettingsError, match="at least 20 characters"):
        load(environment_of("api"))


def test_every_setting_that_is_named_exists():
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]

    named = {
        name
        for text in [*texts, json.dumps(APP)]
        for name in re.findall(rf"{PREFIX}[A-Z_]+", text)
        if not name.startswith(SECRET_PREFIX)
    }
    # What a service of that name would set, as the README tells.
    known = {variable(name) for name in Settings.__dataclass_fields__} | {f"{PREFIX}PORT"}
    assert named <= known


@pytest.mark.parametrize("name", PODS)
def test_each_pod_runs_what_the_procfile_says(name):
    words = shlex.split(PROCFILE[PROCESSES[name]])
    assigned = dict(word.split("=", 1) for word in words if word.startswith(PREFIX))

    assert container(name)["command"] == [word for word in words if not word.startswith(PREFIX)]
    ours = own_variables(name)
    if name == "worker-spot-large":
        # A profile of its own.
        assert assigned.keys() == {variable("compute")}
        assert ours[variable("compute")] in PROFILES
    else:
        assert assigned.items() <= ours.items()
        assert variable("compute") not in ours


@pytest.mark.parametrize("name", of_kind("Deployment"))
def test_nobody_is_killed_while_draining(name):
    spec = PODS[name]["spec"]
    before = container(name).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")

    drains = settings_of(name).shutdown_grace + _LAST_WORDS
    waits = timedelta(seconds=int(before[1]) if before else 0)
    killed = timedelta(seconds=spec["terminationGracePeriodSeconds"])
    assert killed > waits + drains
    assert killed > Settings().shutdown_grace


def test_spot_workers_drain_within_the_shortest_notice():
    assert settings_of("worker-spot-large").shutdown_grace + _LAST_WORDS < timedelta(seconds=15)


@pytest.mark.parametrize("name", PODS)
def test_each_container_has_no_rights_and_writes_only_to_tmp(name):
    user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    pod, only = PODS[name]["spec"], container(name)

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user[1]),
        "runAsGroup": int(user[2]),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert only["resources"].keys() == {"requests", "limits"}


def test_probes_ask_the_process_and_not_the_system():
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    asked = {name: [container(name).get(probe) for probe in probes] for name in PODS}

    assert {probe["httpGet"]["path"] for probe in asked.pop("api")} == {"/healthz"}
    assert {probe for others in asked.values() for probe in others} == {None}


def test_selectors_find_the_pods_that_they_are_meant_for():
    budgets = of_kind("PodDisruptionBudget")
    for name, deployment in of_kind("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]
    assert of_kind("Service")["api"]["spec"]["selector"] == PODS["api"]["metadata"]["labels"]

    labels = [tuple(pod["metadata"]["labels"].items()) for pod in PODS.values()]
    assert len(set(labels)) == len(labels)
    # A budget on spot workers would only keep them from being drained in time.
    assert budgets.keys() == {"api", "scheduler", "worker"}


@pytest.mark.parametrize("name", SCALED)
def test_each_scaler_asks_for_the_queue_of_the_workers_that_it_scales(name):
    spec = SCALED[name]["spec"]
    scaled = spec["scaleTargetRef"]["name"]
    (trigger,) = spec["triggers"]
    compute_id = settings_of(scaled).compute

    assert trigger["type"] == "metrics-api"
    assert trigger["metadata"].keys() == METRICS_API
    assert trigger["metadata"]["authMode"] == "bearer"
    assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
    queue = PROFILES[compute_id].get("queue", compute_id) if compute_id else RUNS_QUEUE
    assert trigger["metadata"]["url"].endswith(f"/api/v1/queues/{queue}")
    # A number in the file would undo what KEDA has done, each time that it is applied.
    assert "replicas" not in of_kind("Deployment")[scaled]["spec"]
    if compute_id:
        assert spec["maxReplicaCount"] == PROFILES[compute_id]["max_workers"]


def test_the_token_is_the_one_that_the_readme_makes():
    (reference,) = of_kind("TriggerAuthentication")["agent-manager"]["spec"]["secretTargetRef"]

    assert reference["parameter"] == "token"
    made = f'secret generic {reference["name"]} --from-literal={reference["key"]}="$TOKEN"'
    assert made in (DEPLOY / "README.md").read_text()


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("name", SCALED)
def test_the_api_answers_what_a_scaler_asks(name, settings):
    (trigger,) = SCALED[name]["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["url"])
    for profile_id, fields in PROFILES.items():
        compute.create(profile_id, fields, now=NOON)
    with db.connection():
        _, token = tokens.create("keda", Role.VIEWER, now=NOON)

    with serving(settings) as client:
        response = Client(client, token).get(url.path.removeprefix("/api/v1"))

    assert response.status_code == 200
    assert response.json[trigger["metadata"]["valueLocation"]] == 0
    service = of_kind("Service")["api"]
    assert url.hostname == f"{service['metadata']['name']}.agent-manager.svc.cluster.local"
    (port,), (inside,) = service["spec"]["ports"], container("api")["ports"]
    assert (url.port or 80, port["targetPort"]) == (port["port"], inside["name"])
    assert inside["containerPort"] == settings_of("api").port


def test_spot_workers_say_of_themselves_what_their_affinity_makes_true():
    said, profile = settings_of("worker-spot-large"), PROFILES["spot-large"]
    affinity = PODS["worker-spot-large"]["spec"]["affinity"]["nodeAffinity"]
    required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]

    spot = []
    for term in required["nodeSelectorTerms"]:
        assert {each["operator"] for each in term["matchExpressions"]} == {"In"}
        wanted = {each["key"]: each["values"] for each in term["matchExpressions"]}
        assert wanted.pop("node.kubernetes.io/instance-type") == [said.instance_type]
        assert wanted.pop("topology.kubernetes.io/region") == [said.region]
        spot.append(wanted)
    assert spot == [
        {"karpenter.sh/capacity-type": ["spot"]},
        {"eks.amazonaws.com/capacityType": ["SPOT"]},
        {"cloud.google.com/gke-spot": ["true"]},
        {"kubernetes.azure.com/scalesetpriority": ["spot"]},
    ]
    assert (profile["instance_type"], profile["region"]) == (said.instance_type, said.region)
    assert profile["spot"]


def test_the_readme_counts_the_connections():
    at_most = {
        name: SCALED[name]["spec"]["maxReplicaCount"]
        if name in SCALED
        else each["spec"]["replicas"]
        for name, each in of_kind("Deployment").items()
    }

    total = sum(
        number
        * int(own_variables(name).get("WEB_CONCURRENCY", 1))
        * settings_of(name).database_connections
        for name, number in at_most.items()
    )

    assert f"at most {total} connections" in (DEPLOY / "README.md").read_text()


def test_the_readme_tells_what_each_file_is_for():
    readme = (DEPLOY / "README.md").read_text()

    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert [name for name in files - {"README.md"} if f"`{name}`" not in readme] == []
    told = set(re.findall(r"`((?:kubernetes|heroku)/[\w.-]+)`", readme))
    assert told <= files


def test_what_is_installed_is_every_package_that_there_is():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = project["tool"]["setuptools"]["packages"]

    tops = {name.split(".")[0] for name in listed}
    found = {path.parent for top in tops for path in (ROOT / top).rglob("*.py")}
    assert sorted(listed) == sorted(".".join(each.relative_to(ROOT).parts) for each in found)


def test_the_image_is_made_of_what_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    dockerfile = (DEPLOY / "Dockerfile").read_text()

    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    files = {project["project"]["readme"], project["project"]["license"]["file"]}
    assert taken == packages | files | {"pyproject.toml", "constraints.txt"}
    assert "*" in lines
    assert '--constraint constraints.txt ".[${EXTRAS}]"' in dockerfile
    (extras,) = re.findall(r"^ARG EXTRAS=(.*)$", dockerfile, re.MULTILINE)
    assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()


def test_heroku_takes_its_manifest():
    wanted = schema("heroku/app.schema.json")

    jsonschema.validate(APP, wanted)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**APP, "formations": APP["formation"]}, wanted)
    misspelt = {"web": {"quantity": 1, "sise": "standard-1x"}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**APP, "formation": misspelt}, wanted)


def test_heroku_runs_each_process_of_the_procfile():
    assert APP["formation"].keys() == PROCFILE.keys() - {"release"}
    assert [name for name, each in APP["formation"].items() if not each["quantity"]] == ["batch"]


def test_heroku_starts_with_settings_that_can_be_had():
    environ = {name: each.get("value", "0" * 64) for name, each in APP["env"].items()}

    settings = load(environ)

    # Heroku sends SIGKILL 30 s after SIGTERM.
    assert settings.shutdown_grace + _LAST_WORDS < timedelta(seconds=30)
    processes = {**dict.fromkeys(APP["formation"], 1), "web": int(environ["WEB_CONCURRENCY"])}
    total = sum(processes.values()) * settings.database_connections
    assert f"takes {total} at most" in " ".join((DEPLOY / "README.md").read_text().split())


def test_heroku_installs_what_the_image_installs():
    lines = (DEPLOY / "heroku" / "requirements.txt").read_text().splitlines()

    asked = [line for line in lines if not line.startswith("#")]
    assert asked == ["--constraint constraints.txt", ".[postgres]"]


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("rediss://:secret@redis:6380", "rediss://:secret@redis:6380?ssl_cert_reqs=none"),
        ("rediss://redis/0?ssl_cert_reqs=required", "rediss://redis/0?ssl_cert_reqs=required"),
        ("redis://redis:6379", "redis://redis:6379"),
    ],
)
def test_on_heroku_the_certificate_of_redis_is_not_verified(url, becomes):
    read = [". ./profile", ". ./profile", 'printf %s "$REDIS_URL"']

    told = subprocess.run(
        ["bash", "-euc", "\n".join(read)],
        cwd=DEPLOY / "heroku",
        env={"REDIS_URL": url},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert told == becomes
    assert redis.Redis.from_url(load({"REDIS_URL": told}).redis_url)
