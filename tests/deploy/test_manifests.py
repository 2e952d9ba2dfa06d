"""Kubernetes manifests: valid by the API's schemas, locked down, and in step with the binaries."""

import re
import sys

import jsonschema
import pytest
import yaml

from conftest import BINARIES, OVERLAYS, ROOT, render, run, tool

KUBERNETES_VERSIONS = ["1.28", "1.33"]
MODELS = ["duet-detector", "duet-segmenter"]
K8S = ROOT / "deploy/k8s"
# Operators' own kinds, which Kubernetes' schemas don't know; test_monitoring.py looks into them.
OPERATOR_KINDS = {"PrometheusRule", "ServiceMonitor"}
# Kinds of the Gateway API, validated below.
GATEWAY_API_KINDS = {"Gateway": "gateways", "HTTPRoute": "httproutes"}
# A cluster's overlays; `local` is one small machine.
CLUSTERS = [overlay for overlay in OVERLAYS if overlay != "local"]


def of_kind(manifests, kind):
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pods(manifests):
    return {name: each["spec"]["template"]["spec"] for name, each in of_kind(manifests, "Deployment").items()}


def containers(pod):
    return pod["containers"] + pod.get("initContainers", [])


def main_of(pod):
    (container,) = pod["containers"]
    return container


def flags_of(container):
    return dict(argument[2:].split("=", 1) for argument in container["args"])


def selects(selector, labels):
    """Whether a label selector of the kinds used here matches."""
    wanted = selector.get("matchLabels", {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_manifest_is_valid(overlay, version, tmp_path):
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render(overlay))

    result = run(sys.executable, "-m", "kubernetes_validate", "-k", version, "--strict", rendered)

    assert result.returncode == 0, result.stdout + result.stderr
    unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", result.stdout + result.stderr))
    assert unknown <= OPERATOR_KINDS | GATEWAY_API_KINDS.keys()


def test_a_misspelt_field_is_noticed(tmp_path):
    """That the validator above is really strict."""
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render("cpu").replace("averageUtilization", "averageUtilisation", 1))

    result = run(sys.executable, "-m", "kubernetes_validate", "-k", KUBERNETES_VERSIONS[0], "--strict", rendered)

    assert result.returncode != 0


def close(schema):
    """Makes it strict: what an object's properties don't name is an error."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            close(each)
    elif isinstance(schema, list):
        for each in schema:
            close(each)


def gateway_api_schema(kind):
    """The CRD's own, and strict."""
    file = ROOT / f".duet/tools/modules/gateway-api/config/crd/standard/gateway.networking.k8s.io_{GATEWAY_API_KINDS[kind]}.yaml"
    assert file.exists(), f"{file} is missing: run ./duet test --only=deploy"
    (version,) = [each for each in yaml.safe_load(file.read_text())["spec"]["versions"] if each["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    close(schema)
    return schema


def gateway_api_faults(manifests):
    return [error.message for each in manifests if each["kind"] in GATEWAY_API_KINDS
            for error in jsonschema.Draft7Validator(gateway_api_schema(each["kind"])).iter_errors(each)]


def test_gateway_api_objects_are_valid_by_their_crds(manifests, overlay):
    kinds = {each["kind"] for each in manifests}
    assert (overlay == "local") != (GATEWAY_API_KINDS.keys() <= kinds)
    assert not gateway_api_faults(manifests)


@pytest.mark.parametrize("right, wrong, said", [
    ("backendRequest: ", "backendrequest: ", "'backendrequest' was unexpected"),
    ("request: 120s", "request: 2 minutes", "2 minutes"),
    ("type: PathPrefix", "type: Prefix", "'Prefix' is not one of"),
    ("sectionName: ", "section: ", "'section' was unexpected"),
])
def test_a_fault_in_a_route_is_noticed(right, wrong, said):
    text = render("cpu")
    assert right in text

    assert any(said in fault for fault in gateway_api_faults(list(yaml.safe_load_all(text.replace(right, wrong)))))


def test_kube_score_finds_nothing_critical(overlay, tmp_path):
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(render(overlay))
    ignored = [
        "container-image-pull-policy",  # tags are versions; Always would need the registry for every restart
        "container-resources",          # no CPU limits: docs/adr/0803-deployment.md
        "container-security-context-user-group-id",  # 10001 is high enough to be nobody on the node
        "pod-networkpolicy",            # it doesn't see that two policies together name both directions
        "deployment-has-poddisruptionbudget", "deployment-has-host-podantiaffinity",  # spread is a constraint here
        "container-ephemeral-storage-request-equals-limit",
        "deployment-replicas",          # Redis is one; `local` has one of each
        "pod-probes-identical",
    ]

    result = run(tool("kube-score"), "score", "--output-format=ci",
                 *[f"--ignore-test={each}" for each in ignored], rendered)

    assert result.returncode == 0, "\n".join(line for line in result.stdout.splitlines() if "[CRITICAL]" in line)


def test_pods_satisfy_the_restricted_security_standard(manifests):
    namespace = of_kind(manifests, "Namespace")["duet"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods(manifests).items():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def test_every_container_says_what_it_needs(manifests):
    for name, pod in pods(manifests).items():
        for container in containers(pod):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("file", [path.relative_to(K8S) for path in sorted(K8S.rglob("*.yaml")) if path.name != "kustomization.yaml"], ids=str)
def test_a_container_that_fails_says_why_at_its_pod(file):
    """`kubectl describe` shows the end of its log, then, of every file's containers."""
    for each in images_in(list(yaml.safe_load_all((K8S / file).read_text()))):
        assert each.get("terminationMessagePolicy") == "FallbackToLogsOnError", each["name"]


def images_in(node):
    """Whatever says which image it is of."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) and "image" in node else []) + [each for child in children for each in images_in(child)]


def test_probes_use_the_health_names_of_the_services(manifests):
    for name in MODELS:
        container = main_of(pods(manifests)[name])
        (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == "grpc"]
        assert container["livenessProbe"]["grpc"] == {"port": port, "service": "liveness"}
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["grpc"] == {"port": port, "service": "readiness"}
    gateway = main_of(pods(manifests)["duet-gateway"])
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_pods_are_left_alone_before_they_stop_and_outlive_their_drain(manifests, default_of):
    for name in BINARIES:
        pod = pods(manifests)[name]
        flags = flags_of(main_of(pod))
        assert "lifecycle" not in main_of(pod)  # the process waits by itself
        grace_s = int(flags["drain_grace_ms"]) / 1000
        assert grace_s >= 5, name
        assert pod["terminationGracePeriodSeconds"] > grace_s + int(flags.get("drain_timeout_s", default_of(name, "drain_timeout_s"))), name
    batch_s = int(default_of("duet-gateway", "predict_deadline_s"))
    assert int(flags_of(main_of(pods(manifests)["duet-gateway"]))["drain_timeout_s"]) >= batch_s


def test_a_rolling_update_never_takes_the_last_replica(manifests, overlay):
    for name in BINARIES:
        update = of_kind(manifests, "Deployment")[name]["spec"]["strategy"]["rollingUpdate"]
        if overlay == "gpu" and name in MODELS:
            assert update == {"maxUnavailable": 1, "maxSurge": 0}
            assert of_kind(manifests, "HorizontalPodAutoscaler")[name]["spec"]["minReplicas"] > 1
        else:
            assert update == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("name", BINARIES)
def test_flags_exist_and_ports_are_the_binarys_defaults(name, help_of, default_of, manifests):
    container = main_of(pods(manifests)[name])
    text = help_of(name)
    for argument in container["args"]:
        flag = argument.split("=", 1)[0]
        assert f"{flag}=VALUE" in text, f"{name} has no {flag}"
    variables = container.get("env", [])
    for variable in variables:
        part = any(f"$({variable['name']})" in each.get("value", "") for each in variables)  # of another one's value
        assert part or f"env: {variable['name']})" in text, f"{name} does not read {variable['name']}"
    flags = {"grpc": "port", "http": "port", "metrics": "metrics_port"}
    for port in container["ports"]:
        assert default_of(name, flags[port["name"]]) == str(port["containerPort"])


def test_services_are_headless_where_the_gateway_balances(manifests):
    services = {name: each["spec"] for name, each in of_kind(manifests, "Service").items()}
    assert services["duet-detector"]["clusterIP"] == services["duet-segmenter"]["clusterIP"] == "None"
    gateway_args = main_of(pods(manifests)["duet-gateway"])["args"]
    for name in ("detector", "segmenter"):
        (port,) = [each["port"] for each in services[f"duet-{name}"]["ports"] if each["name"] == "grpc"]
        assert f"--{name}=duet-{name}:{port}" in gateway_args


def test_weights_are_fetched_and_checked_before_a_model_starts(manifests):
    for name in MODELS:
        pod = pods(manifests)[name]
        (fetch,) = pod["initContainers"]
        assert fetch["image"].startswith("duet-fetch-model:") and fetch["command"] == ["duet-fetch-model"]
        url, file, checksum = fetch["args"]
        assert f"--checkpoint={file}" in main_of(pod)["args"]
        (source,) = fetch["envFrom"]
        values = of_kind(manifests, "ConfigMap")[source["configMapRef"]["name"]]["data"]
        assert (url, checksum) == ("$(MODEL_URL)", "$(MODEL_SHA256)")
        assert values["MODEL_SHA256"] and values["MODEL_SHA256"] in values["MODEL_URL"]
        assert [each for each in main_of(pod)["volumeMounts"] if each["name"] == "models"][0]["readOnly"]


def test_threads_follow_the_cpu_request(manifests):
    for name in MODELS:
        (variable,) = [each for each in main_of(pods(manifests)[name])["env"] if each["name"] == "DUET_THREADS"]
        assert variable["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu"


def test_replicas_spread_over_machines_and_zones(manifests):
    for name in BINARIES:
        keys = {each["topologyKey"] for each in pods(manifests)[name]["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_every_pod_is_denied_everything_but_what_a_policy_grants(manifests):
    policies = of_kind(manifests, "NetworkPolicy")
    deny = policies["duet-default-deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in deny and "egress" not in deny
    for name, deployment in of_kind(manifests, "Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selects(deny["podSelector"], labels)
        rules = [rule for each in policies.values() if selects(each["spec"]["podSelector"], labels)
                 for rule in each["spec"].get("ingress", [])]
        # Only the gateway is there for everybody.
        assert any("from" not in rule for rule in rules) == (name == "duet-gateway"), name
        named = {port["name"] for port in main_of(deployment["spec"]["template"]["spec"])["ports"]}
        for rule in rules:
            assert {port["port"] for port in rule["ports"]} <= named, name


@pytest.mark.parametrize("overlay", CLUSTERS)
class TestClusters:
    def test_autoscalers_own_the_number_of_replicas(self, manifests):
        scaled = {each["spec"]["scaleTargetRef"]["name"]
                  for each in of_kind(manifests, "HorizontalPodAutoscaler").values()}
        assert scaled == set(BINARIES)
        for name in scaled:
            assert "replicas" not in of_kind(manifests, "Deployment")[name]["spec"], name

    def test_a_disruption_takes_one_pod_at_a_time(self, manifests):
        budgets = of_kind(manifests, "PodDisruptionBudget")
        for name in BINARIES:
            assert budgets[name]["spec"]["maxUnavailable"] == 1
            labels = of_kind(manifests, "Deployment")[name]["spec"]["template"]["metadata"]["labels"]
            assert selects(budgets[name]["spec"]["selector"], labels)

    def test_the_route_waits_longer_than_the_gateway_and_label_studio(self, manifests, default_of):
        (route,) = of_kind(manifests, "HTTPRoute").values()
        (rule,) = route["spec"]["rules"]
        request, backend = (int(rule["timeouts"][name].removesuffix("s")) for name in ("request", "backendRequest"))
        assert backend <= request  # else the API server refuses it
        assert backend > 100 and backend > int(default_of("duet-gateway", "predict_deadline_s"))

    def test_the_route_leads_from_the_gateways_tls_to_the_service(self, manifests):
        (gateway,) = of_kind(manifests, "Gateway").values()
        (listener,) = gateway["spec"]["listeners"]
        assert listener["protocol"] == "HTTPS" and listener["tls"]["certificateRefs"]
        (route,) = of_kind(manifests, "HTTPRoute").values()
        (parent,) = route["spec"]["parentRefs"]
        assert (parent["name"], parent["sectionName"]) == (gateway["metadata"]["name"], listener["name"])
        assert route["spec"]["hostnames"] == [listener["hostname"]]
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        assert backend["port"] in {each["port"] for each in of_kind(manifests, "Service")[backend["name"]]["spec"]["ports"]}

    def test_the_token_is_a_file_that_is_read_again(self, manifests):
        pod = pods(manifests)["duet-gateway"]
        container = main_of(pod)
        assert not any(each["name"] == "DUET_LABEL_STUDIO_API_KEY" for each in container["env"])
        (file,) = [each["value"] for each in container["env"] if each["name"] == "DUET_LABEL_STUDIO_API_KEY_FILE"]
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "label-studio"]
        folder, name = file.rsplit("/", 1)
        assert mount["mountPath"] == folder and mount["readOnly"] and "subPath" not in mount  # which would never change
        (volume,) = [each["secret"] for each in pod["volumes"] if each["name"] == "label-studio"]
        assert name in {each["path"] for each in volume["items"]} and volume["defaultMode"] & 0o007 == 0

    def test_redis_keeps_a_cache_within_its_memory(self, manifests):
        container = main_of(pods(manifests)["duet-redis"])
        options = dict(re.findall(r"--([a-z-]+) (\S+)", container["args"][0]))
        assert options["maxmemory-policy"] == "allkeys-lru" and options["save"] == "''"
        limit = int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
        assert int(options["maxmemory"].removesuffix("gb")) < limit

    def test_redis_has_a_password_from_a_secret_and_its_users_know_it(self, manifests):
        secret = {"secretKeyRef": {"name": "duet-redis", "key": "password"}}
        (port,) = of_kind(manifests, "Service")["duet-redis"]["spec"]["ports"]
        server = main_of(pods(manifests)["duet-redis"])
        assert [each["valueFrom"] for each in server["env"] if each["name"] == "REDISCLI_AUTH"] == [secret]
        for name, variable in (("duet-segmenter", "DUET_EMBEDDING_STORE"), ("duet-gateway", "DUET_SETTINGS_STORE")):
            variables = {each["name"]: each for each in main_of(pods(manifests)[name])["env"]}
            assert variables["REDIS_PASSWORD"]["valueFrom"] == secret
            assert variables[variable]["value"] == f"redis://:$(REDIS_PASSWORD)@duet-redis:{port['port']}"
            # Kubernetes puts in only what stands before.
            assert list(variables).index("REDIS_PASSWORD") < list(variables).index(variable)

    def test_a_gpu_is_asked_for_by_the_models_alone(self, manifests, overlay):
        for name, pod in pods(manifests).items():
            gpu = "nvidia.com/gpu" in main_of(pod)["resources"]["limits"]
            assert gpu == (overlay == "gpu" and name in MODELS), name
            assert gpu == ("--device=cuda" in main_of(pod)["args"]), name
            assert gpu == bool(pod.get("tolerations")), name

    def test_models_on_gpus_scale_by_queue_time(self, manifests, overlay):
        for name in MODELS:
            (metric,) = of_kind(manifests, "HorizontalPodAutoscaler")[name]["spec"]["metrics"]
            assert metric["type"] == ("Pods" if overlay == "gpu" else "Resource")
