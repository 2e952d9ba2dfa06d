"""A bulk run on a cluster: the Kubernetes components and Argo's workflow are valid, locked down, and in step with the command."""

import json
import re
import sys

import jsonschema
import pytest
import yaml

from conftest import DEPLOY, ROOT, render_with, run, tool
from test_manifests import containers, flags_of, main_of, of_kind, selects

# 1.29 is the first with sidecar containers by default.
KUBERNETES_VERSIONS = ["1.29", "1.33"]
JOBS = ["duet-bulk-plan", "duet-bulk", "duet-bulk-merge"]
MODELS = {"boxes": ["detector"], "masks": ["detector", "segmenter"]}


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def rendered(kind, tmp_path_factory):
    return render_with(tmp_path_factory, "bulk", *(["bulk-masks"] if kind == "masks" else []))


@pytest.fixture
def manifests(rendered):
    return list(yaml.safe_load_all(rendered))


@pytest.fixture
def jobs(manifests):
    return {name: job["spec"] for name, job in of_kind(manifests, "Job").items()}


def pod_of(job):
    return job["template"]["spec"]


def by_name(containers_of_pod):
    return {container["name"]: container for container in containers_of_pod}


@pytest.fixture(scope="module")
def command_flags():
    """The flags and variables of the commands that the Jobs run."""
    helps = {command: run(ROOT / "build/release/bin/duet", command, "--help").stdout for command in ("prelabel", "merge")}
    return {command: (set(re.findall(r"^  --(\w+)", text, re.MULTILINE)), set(re.findall(r"env: (\w+)\)", text)))
            for command, text in helps.items()}


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_it_is_valid(rendered, version, tmp_path):
    (tmp_path / "rendered.yaml").write_text(rendered)

    result = run(sys.executable, "-m", "kubernetes_validate", "-k", version, "--strict", tmp_path / "rendered.yaml")

    assert result.returncode == 0, result.stdout + result.stderr


def test_a_misspelt_field_is_noticed(rendered, tmp_path):
    (tmp_path / "rendered.yaml").write_text(rendered.replace("backoffLimitPerIndex", "backOffLimitPerIndex", 1))

    result = run(sys.executable, "-m", "kubernetes_validate", "-k", "1.33", "--strict", tmp_path / "rendered.yaml")

    assert result.returncode != 0


def test_kube_score_finds_nothing_critical(rendered, tmp_path):
    (tmp_path / "rendered.yaml").write_text(rendered)
    ignored = [  # as in test_manifests.py
        "container-image-pull-policy", "container-resources", "container-security-context-user-group-id", "pod-networkpolicy",
        "deployment-has-poddisruptionbudget", "deployment-has-host-podantiaffinity",
        "container-ephemeral-storage-request-equals-limit", "deployment-replicas", "pod-probes-identical"]

    result = run(tool("kube-score"), "score", "--output-format=ci", *[f"--ignore-test={each}" for each in ignored],
                 tmp_path / "rendered.yaml")

    assert result.returncode == 0, "\n".join(line for line in result.stdout.splitlines() if "[CRITICAL]" in line)


def test_pods_satisfy_the_restricted_security_standard(jobs):
    assert sorted(jobs) == sorted(JOBS)
    for name, job in jobs.items():
        pod = pod_of(job)
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_each_index_does_its_shard_and_starts_again_by_itself(jobs):
    job = jobs["duet-bulk"]
    assert job["completionMode"] == "Indexed" and job["suspend"] is True
    assert f"--shard=job/{job['completions']}" in main_of(pod_of(job))["args"]
    assert job["backoffLimitPerIndex"] > 0 and 0 < job["maxFailedIndexes"] < job["completions"]
    assert pod_of(job)["restartPolicy"] == "Never"  # which both need


@pytest.mark.parametrize("name, action", [("duet-bulk-plan", "FailJob"), ("duet-bulk", "FailIndex"), ("duet-bulk-merge", "FailJob")])
def test_lost_nodes_dont_count_and_what_nobody_mended_isnt_tried_again(jobs, name, action):
    lost, mend = jobs[name]["podFailurePolicy"]["rules"]  # the first that fits wins: a stopped command ends with 1
    assert lost["action"] == "Ignore" and lost["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert mend["action"] == action
    assert mend["onExitCodes"] == {"containerName": main_of(pod_of(jobs[name]))["name"], "operator": "In", "values": [2]}


def test_models_run_beside_the_command_and_end_with_it(jobs, kind, help_of):
    for name in ("duet-bulk-plan", "duet-bulk"):
        pod = pod_of(jobs[name])
        sidecars = {each["name"]: each for each in pod["initContainers"] if each.get("restartPolicy") == "Always"}
        assert sorted(sidecars) == MODELS[kind]
        for model, container in sidecars.items():
            text = help_of(f"duet-{model}")
            for flag in flags_of(container):
                assert f"--{flag}=VALUE" in text
            for variable in container["env"]:
                assert f"env: {variable['name']})" in text
            (port,) = [each["containerPort"] for each in container["ports"]]
            assert f"(default: {port}; env: DUET_PORT)" in text
            # The command begins when it serves, and it is started again when it hangs.
            assert container["startupProbe"]["grpc"] == {"port": port, "service": "readiness"}
            assert container["livenessProbe"]["grpc"] == {"port": port, "service": "liveness"}
    main = main_of(pod_of(jobs["duet-bulk"]))
    assert "--detector=127.0.0.1:50051" in main["args"]
    variables = {each["name"]: each["value"] for each in main["env"]}
    assert ("127.0.0.1:50052" == variables.get("DUET_SEGMENTER")) == (variables.get("DUET_MASKS") == "rle") == (kind == "masks")


def test_all_indices_have_the_kernels_and_the_weights_that_the_first_pod_chose(jobs, manifests, kind):
    plan, shards = (by_name(pod_of(jobs[name])["initContainers"]) for name in ("duet-bulk-plan", "duet-bulk"))
    for model in MODELS[kind]:
        for jobs_container in (plan[model], shards[model]):
            variables = {each["name"]: each for each in jobs_container["env"]}
            assert variables["DUET_KERNEL_PLAN"]["value"] == f"/bulk/{model}.kernel_plan"
            assert variables["DUET_THREADS"]["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu"
            assert flags_of(jobs_container)["checkpoint"] == f"/bulk/{model}.pth"
        # Kernels are a choice for a number of threads.
        assert plan[model]["resources"]["requests"]["cpu"] == shards[model]["resources"]["requests"]["cpu"]
        mounts = [{each["name"]: each for each in each_of["volumeMounts"]}["bulk"] for each_of in (plan[model], shards[model])]
        assert "readOnly" not in mounts[0] and mounts[1]["readOnly"] is True
        fetch = plan[f"fetch-{model}"]
        assert fetch["command"] == ["duet-fetch-model"] and fetch["args"][1] == f"/bulk/{model}.pth"
        names = list(plan)
        assert names.index(f"fetch-{model}") < names.index(model)
        (source,) = fetch["envFrom"]
        assert of_kind(manifests, "ConfigMap")[source["configMapRef"]["name"]]["data"]["MODEL_SHA256"]
    (claim,) = {volume["persistentVolumeClaim"]["claimName"] for job in jobs.values() for volume in pod_of(job)["volumes"]
                if "persistentVolumeClaim" in volume}
    assert of_kind(manifests, "PersistentVolumeClaim")[claim]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_flags_and_variables_of_the_commands_exist(jobs, manifests, command_flags):
    for job in jobs.values():
        main = main_of(pod_of(job))
        assert main["command"] == ["duet"]
        flags, variables = command_flags[main["args"][0]]
        assert {argument[2:].split("=")[0] for argument in main["args"] if argument.startswith("--")} <= flags
        assert {each["name"] for each in main["env"]} - {"HOME"} <= variables
        (settings,) = [each["configMapRef"]["name"] for each in main["envFrom"] if "configMapRef" in each]
        named = set(re.findall(r"\$\((\w+)\)", " ".join(main["args"])))
        assert named <= of_kind(manifests, "ConfigMap")[settings]["data"].keys()
        (secret,) = [each["secretRef"] for each in main["envFrom"] if "secretRef" in each]
        assert secret == {"name": "duet-bulk-s3", "optional": True}


def test_nobody_reaches_its_pods(jobs, manifests):
    policies = of_kind(manifests, "NetworkPolicy")
    for job in jobs.values():
        labels = job["template"]["metadata"]["labels"]
        assert selects(policies["duet-default-deny"]["spec"]["podSelector"], labels)
        own = [each["spec"] for each in policies.values() if selects(each["spec"]["podSelector"], labels)]
        assert not any(each.get("ingress") for each in own)
        assert any(each.get("egress") for each in own)


def argo_faults(workflow):
    """By Argo's own schema, and strict: what an object's properties don't name is an error."""
    file = ROOT / ".duet/tools/modules/argo-workflows/api/jsonschema/schema.json"
    assert file.exists(), f"{file} is missing: run ./duet test --only=deploy"
    definitions = json.loads(file.read_text())["definitions"]
    for definition in definitions.values():
        if definition.get("type") == "object" and "properties" in definition:
            definition.setdefault("additionalProperties", False)
    schema = {"$ref": "#/definitions/io.argoproj.workflow.v1alpha1.Workflow", "definitions": definitions}
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(workflow)]


ARGO = (DEPLOY / "argo/bulk.yaml").read_text()


def test_argos_workflow_is_valid_by_its_schema():
    assert not argo_faults(yaml.safe_load(ARGO))


@pytest.mark.parametrize("right, wrong", [("retryPolicy:", "retrypolicy:"), ("withSequence:", "withsequence:"),
                                          ("parallelism: 100", "parallelism: many"), ("sidecars:", "sideCars:")])
def test_a_fault_in_argos_workflow_is_noticed(right, wrong):
    assert right in ARGO
    assert argo_faults(yaml.safe_load(ARGO.replace(right, wrong)))


def test_argos_workflow_is_in_step_with_the_commands_and_the_component(command_flags, help_of, jobs):
    workflow = yaml.safe_load(ARGO)
    templates = {each["name"]: each for each in workflow["spec"]["templates"]}
    shard = templates["shard"]
    assert {argument[2:].split("=")[0] for argument in shard["container"]["args"] if argument.startswith("--")} \
        <= command_flags["prelabel"][0]
    assert [step["template"] for group in templates["run"]["steps"] for step in group] == ["plan", "shard", "merge"]
    for name, command in (("plan", "prelabel"), ("merge", "merge")):
        assert templates[name]["container"]["args"][0] == command
        assert flags_of({"args": [each for each in templates[name]["container"]["args"] if "=" in each]}).keys() <= command_flags[command][0]
    (model,) = shard["sidecars"]
    for flag in flags_of(model):
        assert f"--{flag}=VALUE" in help_of(model["name"].replace("detector", "duet-detector"))
    # The same weights, kernels and number of threads.
    beside = by_name(pod_of(jobs["duet-bulk"])["initContainers"])["detector"]
    assert flags_of(model)["checkpoint"] == flags_of(beside)["checkpoint"]
    assert flags_of(model)["threads"] == model["resources"]["requests"]["cpu"] == beside["resources"]["requests"]["cpu"]
    assert flags_of(model)["kernel_plan"] in {each.get("value") for each in beside["env"]}
