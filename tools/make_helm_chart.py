#!/usr/bin/env python3
"""Makes the Helm chart's templates and values from deploy/k8s, so that both say the same.

    python3 tools/make_helm_chart.py            # writes deploy/helm/duet; needs kubectl and PyYAML
    python3 tools/make_helm_chart.py --check    # only says what is stale

The base becomes the templates. What a component adds, changes or removes is found by rendering without it and with it, and
stands in the templates between `if`s, so that `components.NAME` switches it. That is done twice for each component: with no
others than it needs, and with all that come before it, since some change what others have added. What people set is put in at
the places that `SERVICES` and `substitute` name. By hand are only _helpers.tpl, checks.yaml, NOTES.txt, values.schema.json and
the text of values.yaml below. tests/deploy/test_helm.py holds both renderings against each other, object by object.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
K8S = ROOT / "deploy/k8s"
CHART = ROOT / "deploy/helm/duet"
HEADER = "{{- /* Made from deploy/k8s by tools/make_helm_chart.py: change it there. */ -}}\n"

# In the order in which an overlay would list them: name in values.yaml, folder, what it needs. Bulk runs are Jobs for once and
# no part of a release, so they are left to kustomize.
COMPONENTS = [
    ("availability", "availability", []),
    ("gatewayApi", "gateway-api", []),
    ("labelStudio", "label-studio", []),
    ("monitoring", "monitoring", []),
    ("redis", "redis", []),
    ("trainer", "trainer", ["labelStudio"]),
    ("queueTime", "queue-time", ["availability"]),
    ("gpu", "gpu", []),
    ("keda", "keda", []),
    ("weightsOnNode", "weights-on-node", []),
    ("traces", "traces", []),
    ("tls", "tls", []),
]
FOLDERS = {name: folder for name, folder, _ in COMPONENTS}
# Deployments whose place, size and environment people choose.
SERVICES = ["detector", "segmenter", "gateway", "trainer", "redis"]
SCALED = ["detector", "segmenter", "gateway"]
CLAIMS = {"duet-models": "trainer.models", "duet-trainer-work": "trainer.work"}  # and where values.yaml has them
# What people decide inside of lists that are taken as a whole: text, and the piece of template in its place.
INSIDE = {("NetworkPolicy", "duet-to-collector"): {
    "metadata.name: observability": "metadata.name: {{ $.Values.traces.namespace }}", "port: 4318": "port: {{ int $.Values.traces.port }}"}}
ABSENT = object()


def render(components):
    """The objects of the base with these components, by (kind, name)."""
    with tempfile.TemporaryDirectory(dir=K8S) as folder:
        (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "duet",
            "resources": ["../base"],
            "components": [f"../components/{FOLDERS[name]}" for name, _, _ in COMPONENTS if name in components]}))
        printed = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if printed.returncode:
        sys.exit(f"kubectl kustomize with {', '.join(components) or 'no component'}: {printed.stderr}")
    # Generated names end in a hash of the content, which a template can't know.
    text = re.sub(r"\b(duet-[a-z-]+)-[0-9a-z]{10}$", r"\1", printed.stdout, flags=re.MULTILINE)
    objects = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}
    return {key: each for key, each in objects.items() if key[0] != "Namespace"}  # a release is put into one


# --- Trees of which a part may depend on components -------------------------------------------------------------------------


@dataclasses.dataclass
class Slot:
    """A value at its place: a mapping, a list whose items have names, or anything else as a whole."""
    given_by: object                    # None: always there; else the components of which any adds it
    children: dict | None = None        # of a mapping by key, of a list by the items' names
    listed: bool = False                # a list
    values: list = dataclasses.field(default_factory=list)      # [(given_by, value)], the last that applies counts
    removed_by: set = dataclasses.field(default_factory=set)


def named_items(value):
    """A list's items by what tells them apart; None if nothing does."""
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, str) for each in value):
        return {each: each for each in value} if all(each.startswith("--") for each in value) else None
    for key in ("mountPath", "name", "type"):
        if all(isinstance(each, dict) and key in each for each in value):
            items = {each[key]: each for each in value}
            return items if len(items) == len(value) else None
    return None


def parts(value):
    """(children, listed) of what is looked into, (None, False) of what is taken as a whole."""
    if isinstance(value, dict) and value:
        return value, False
    items = named_items(value)
    return (items, True) if items else (None, False)


def build(value, given_by):
    given_by = given_by and set(given_by)  # its own: more may be added to one alone
    children, listed = parts(value)
    if children is None:
        return Slot(given_by, values=[(given_by, value)])
    return Slot(given_by, {key: build(each, given_by) for key, each in children.items()}, listed)


def apply(children, key, before, after, component):
    """Notes in children[key] that with the component it is `after` where without it it is `before`."""
    if before is not ABSENT and before == after:
        return
    slot = children.get(key)
    if after is ABSENT:
        slot.removed_by.add(component)
    elif slot is None:
        children[key] = build(after, {component})
    else:
        if before is ABSENT and slot.given_by is not None:
            slot.given_by.add(component)
        old, new = ({} if before is ABSENT else parts(before)[0]), parts(after)[0]
        if (slot.children is None) != (new is None) or old is None and new is not None:
            sys.exit(f"the component {component} makes {key} another kind of value, which this program can't say in a template")
        if new is None:
            change(slot, after, component)
        else:
            for each in [*old, *(each for each in new if each not in old)]:
                apply(slot.children, each, old.get(each, ABSENT), new.get(each, ABSENT), component)


def change(slot, value, component):
    for given_by, known in slot.values:
        if known == value and given_by is not None:
            given_by.add(component)
            return
    if slot.values[-1][1] != value:
        slot.values.append(({component}, value))


def merged():
    """All objects, by (kind, name), with everything that components do to them."""
    objects = {key: build(each, None) for key, each in render([]).items()}
    for index, (name, _, needs) in enumerate(COMPONENTS):
        for others in ({*needs}, {each for each, _, _ in COMPONENTS[:index]}):
            before, after = render(others), render({*others, name})
            for key in [*before, *(each for each in after if each not in before)]:
                apply(objects, key, before.get(key, ABSENT), after.get(key, ABSENT), name)
    return objects


# --- Templates --------------------------------------------------------------------------------------------------------------


def either(components):
    """A condition: any of these is on."""
    names = [f"$.Values.components.{name}" for name, _, _ in COMPONENTS if name in components]
    return names[0] if len(names) == 1 else f"or {' '.join(names)}"


def condition(slot, known):
    """What decides whether it is there, where any of each set in `known` is on; "" if nothing does."""
    wanted = []
    if slot.given_by is not None and not any(each <= slot.given_by for each in known):
        wanted.append(either(slot.given_by))
    wanted += [f"not $.Values.components.{name}" for name, _, _ in COMPONENTS if name in slot.removed_by]
    if len(wanted) < 2:
        return "".join(wanted)
    return "and " + " ".join(f"({each})" if " " in each else each for each in wanted)


def escaped(text):
    """Text in which Helm finds no template."""
    return text.replace("{{", '{{ "{{" }}')


def scalar(value):
    return escaped(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n").strip())


def after_key(value, indent):
    """Lines of which the first goes behind `key:`."""
    if isinstance(value, str) and "\n" in value:
        chomp = {True: "", False: "-"}[value.endswith("\n")]
        body = escaped(value).removesuffix("\n").split("\n")
        return [f" |{chomp}", *(f"{' ' * (indent + 2)}{line}".rstrip() for line in body)]
    if isinstance(value, (dict, list)) and value:
        body = escaped(yaml.safe_dump(value, sort_keys=False, width=10_000, allow_unicode=True)).rstrip("\n").split("\n")
        return ["", *(f"{' ' * (indent + 2)}{line}" for line in body)]
    return [f" {scalar(value)}"]


def value_of(path, value, indent):
    """What stands behind a key: a piece of template where people decide, else the value."""
    text = substitute(path, value)
    return [f" {text}"] if text else after_key(value, indent)


def substitute(path, value):
    """The piece of template in place of a value of deploy/k8s; None where the value itself is right."""
    kind, name, *rest = path
    service = name.removeprefix("duet-")
    where = "/".join(map(str, rest))
    image = re.fullmatch(r"duet-([a-z-]+):(\d[\d.]*)(-\w+)?", str(value))
    if rest[-1] == "image" and image:
        key = re.sub(r"-(\w)", lambda match: match[1].upper(), image[1])
        return f'{{{{ include "duet.image" (list $ "{key}" "{image[3] or ""}") }}}}'
    if rest[-1] == "image":
        return f"{{{{ $.Values.{service}.image }}}}"
    if where == "metadata/namespace":
        return "{{ $.Release.Namespace }}"
    model = re.fullmatch(r"(\w+)-model", service)
    if kind == "ConfigMap" and model and rest[0] == "data":
        return f"{{{{ $.Values.{model[1]}.model.{rest[1].removeprefix('MODEL_').lower()} | quote }}}}"
    if kind == "ScaledObject":
        trigger, places = f"$.Values.{service}.autoscaling", {"spec/maxReplicaCount": "maxReplicas"}
        if where in places:
            return f"{{{{ {trigger}.{places[where]} | int }}}}"
        if where == "spec/triggers/cron/metadata/desiredReplicas":
            return f"{{{{ {trigger}.minReplicas | int | quote }}}}"
        if rest[-1] in ("timezone", "start", "end", "serverAddress"):
            return f"{{{{ $.Values.keda.{'prometheus' if rest[-1] == 'serverAddress' else rest[-1]} | quote }}}}"
        if rest[-1] == "query":
            return scalar(value).replace('namespace="duet"', 'namespace="{{ $.Release.Namespace }}"')
    if (kind, name, rest[0]) == ("ConfigMap", "duet-traces", "data"):
        return f"{{{{ $.Values.traces.{rest[1].removeprefix('DUET_OTLP_').lower()} | quote }}}}"
    if kind == "HorizontalPodAutoscaler" and where in ("spec/minReplicas", "spec/maxReplicas"):
        return f"{{{{ $.Values.{service}.autoscaling.{rest[1]} | int }}}}"
    if kind == "PersistentVolumeClaim" and rest[-1] == "storage" and name in CLAIMS:
        return f"{{{{ $.Values.{CLAIMS[name]}.size }}}}"
    if value in ("duet-label-studio", "duet-redis") and rest[-2] in ("secretKeyRef", "secret"):
        return f"{{{{ $.Values.{'labelStudio' if value == 'duet-label-studio' else 'redis'}.secret }}}}"
    gateway_api = {"spec/gatewayClassName": "className", "spec/listeners/https/hostname": "host"}
    if kind == "Gateway" and where in gateway_api:
        return f"{{{{ $.Values.gatewayApi.{gateway_api[where]} }}}}"
    if value == "duet-gateway-tls":
        return "{{ $.Values.gatewayApi.certificateSecret }}"
    if kind == "HTTPRoute" and rest[-1] == "hostnames":
        return "[{{ $.Values.gatewayApi.host }}]"
    return None




def added(path, indent):
    """Lines at the beginning of a mapping that deploy/k8s doesn't have: what people may set besides."""
    kind, name, *rest = path
    service, pad = name.removeprefix("duet-"), " " * indent
    where = "/".join(map(str, rest))

    def optional(values, key, place=""):
        return [f"{pad}{{{{- with $.Values.{values} }}}}", f"{pad}{key}: {place or '{{ . }}'}", f"{pad}{{{{- end }}}}"]

    def block(values, key):
        return optional(values, key, f"{{{{- toYaml . | nindent {indent + 2} }}}}")
    if kind == "Deployment" and where == "spec" and service in SCALED:
        replicas = f"$.Values.{service}.replicas"
        return [f"{pad}{{{{- if not (kindIs \"invalid\" {replicas}) }}}}", f"{pad}replicas: {{{{ int {replicas} }}}}",
                f"{pad}{{{{- end }}}}"]
    if kind == "Deployment" and where == "spec/template/metadata":
        models = {"detector": ["detector"], "segmenter": ["segmenter"], "trainer": ["detector", "segmenter"], "gateway": []}.get(service)
        # A ConfigMap that changes rolls nothing by itself.
        used = " ".join(["$.Values.traces", *(f"$.Values.{each}.model" for each in models or [])])
        return [f"{pad}annotations:", f"{pad}  checksum/configuration: {{{{ list {used} | toJson | sha256sum }}}}"] if models is not None else []
    if kind == "Service" and where == "spec" and service == "gateway":
        return [f"{pad}{{{{- if ne $.Values.gateway.service.type \"ClusterIP\" }}}}", f"{pad}type: {{{{ $.Values.gateway.service.type }}}}",
                f"{pad}{{{{- end }}}}"]
    if kind == "Service" and where == "spec/ports/http" and service == "gateway":
        return optional("gateway.service.nodePort", "nodePort", "{{ int . }}")
    if kind == "ServiceAccount" and not where:
        return block("image.pullSecrets", "imagePullSecrets")
    if kind == "PersistentVolumeClaim" and where == "spec" and name in CLAIMS:
        return optional(f"{CLAIMS[name]}.storageClass", "storageClassName")
    if (kind, name, where) == ("PersistentVolumeClaim", "duet-models", "metadata"):
        # Trained models outlive the release, and a release of the same name takes them over.
        return [f"{pad}annotations:", f"{pad}  helm.sh/resource-policy: keep"]
    if kind in ("ServiceMonitor", "PrometheusRule") and where == "metadata/labels":
        return [f"{pad}{{{{- with $.Values.monitoring.labels }}}}", f"{pad}{{{{- toYaml . | nindent {indent} }}}}", f"{pad}{{{{- end }}}}"]
    return []


class Template:
    """The text of one object."""

    def __init__(self, kind, name, slot):
        self.kind, self.name, self.defines = kind, name, []
        self.known = [] if slot.given_by is None else [slot.given_by]
        head = condition(slot, [])
        self.lines = [f"{{{{- if {head} }}}}"] if head else []
        self.lines += ["---", *self.mapping(slot, [], 0, self.known), *(["{{- end }}"] if head else [])]

    def text(self):
        return "\n".join([*self.defines, *self.lines]) + "\n"

    def mapping(self, slot, path, indent, known):
        lines = added([self.kind, self.name, *path], indent)
        return lines + self.together((self.entry(key, each, [*path, key], indent, known)
                                      for key, each in self.overridden(slot, path).items()))

    def together(self, entries):
        """Entries below one `if` as long as it is the same."""
        lines, before = [], ""
        for wanted, entry in entries:
            if wanted != before:
                lines += ["{{- end }}"] if before else []
                lines += [f"{{{{- if {wanted} }}}}"] if wanted else []
            lines += entry
            before = wanted
        return lines + (["{{- end }}"] if before else [])

    def entry(self, key, slot, path, indent, known):
        """(condition, lines) of `key: …`."""
        override = self.override(key, slot, path, indent)
        if override:
            return "", override
        wanted, inner, pad = condition(slot, known), [*known, *([slot.given_by] if slot.given_by else [])], " " * indent
        if slot.children is None:
            cases = [(given_by, [f"{pad}{key}:{first}", *more]) for given_by, value in slot.values
                     for first, *more in [value_of([self.kind, self.name, *path], value, indent)]]
            return wanted, self.choice(cases, inner)
        body = self.items(slot, path, indent + 2, inner) if slot.listed else self.mapping(slot, path, indent + 2, inner)
        return wanted, [f"{pad}{key}:", *body]

    def choice(self, cases, known):
        """The last of the cases that applies."""
        always = [index for index, (given_by, _) in enumerate(cases)
                  if given_by is None or any(each <= given_by for each in known)]
        base = always[0] if always else 0
        cases = [case for index, case in enumerate(cases) if index >= base]
        if len(cases) == 1:
            return cases[0][1]
        lines = []
        for index, (given_by, entry) in enumerate(reversed(cases[1:])):
            lines += [f"{{{{- {'else if' if index else 'if'} {either(given_by)} }}}}", *entry]
        return [*lines, "{{- else }}", *cases[0][1], "{{- end }}"]

    def items(self, slot, path, indent, known):
        lines, pad = [], " " * indent

        def each_item():
            for key, each in slot.children.items():
                inner = [*known, *([each.given_by] if each.given_by else [])]
                wanted = condition(each, known)
                if each.children is None:
                    yield wanted, self.choice([(given_by, [f"{pad}- {scalar(value)}"]) for given_by, value in each.values], inner)
                    continue
                body = self.mapping(self.name_first(each), [*path, key], indent + 2, inner)
                first = next(index for index, line in enumerate(body) if not line.lstrip().startswith("{{-"))
                if first:  # what people may add stands before: the name goes first
                    begin = next(index for index, line in enumerate(body) if line.startswith(f"{pad}  name:"))
                    body.insert(0, body.pop(begin))
                yield wanted, [f"{pad}- {body[0].lstrip()}", *body[1:]]
        lines += self.together(each_item())
        if path[-1] == "args" and self.main_container(path):
            lines += [f"{pad}{{{{- range $.Values.{self.service}.args }}}}", f"{pad}- {{{{ quote . }}}}", f"{pad}{{{{- end }}}}"]
        return lines

    @staticmethod
    def name_first(slot):
        children = {key: each for wanted in ("mountPath", "name") for key, each in slot.children.items() if key == wanted}
        return dataclasses.replace(slot, children={**children, **slot.children})

    @property
    def service(self):
        return self.name.removeprefix("duet-")

    def main_container(self, path):
        return self.kind == "Deployment" and path[:-1] == ["spec", "template", "spec", "containers", self.service]

    def overridden(self, slot, path):
        """A mapping's children, with those that people may set though deploy/k8s says nothing there."""
        more = []
        if self.kind == "Deployment" and path == ["spec", "template", "spec"]:
            more = ["affinity", "nodeSelector", "tolerations"]
        elif self.main_container([*path, ""]):
            more = ["env"]
        return {**slot.children, **{key: Slot(None, {}) for key in more if key not in slot.children}}

    def override(self, key, slot, path, indent):
        """Lines for what values.yaml is merged into: a definition of what deploy/k8s says, then both together."""
        pod = self.kind == "Deployment" and path[:-1] == ["spec", "template", "spec"]
        maps = ["resources"] if self.main_container(path) else ["affinity", "nodeSelector"] if pod else []
        lists = ["env"] if self.main_container(path) else ["tolerations"] if pod else []
        if key not in maps + lists:
            return None
        own, pad = f"duet.{self.service}.{key}", " " * indent
        wanted, known = condition(slot, self.known), [*self.known, *([slot.given_by] if slot.given_by else [])]
        body = (self.items(slot, path, 0, known) if slot.listed else
                self.mapping(slot, path, 0, known) if slot.children is not None else
                yaml.safe_dump(slot.values[-1][1], width=10_000).rstrip("\n").split("\n"))
        if slot.children != {}:
            self.defines += [f'{{{{- define "{own}" }}}}', *([f"{{{{- if {wanted} }}}}"] if wanted else []), *body,
                             *(["{{- end }}"] if wanted else []), "{{- end }}"]
        both = f"$.Values.{self.service}.{key}"
        if slot.children != {}:
            both = (f'(mergeOverwrite (include "{own}" $ | fromYaml) {both})' if key in maps else
                    f'(concat (include "{own}" $ | fromYamlArray) {both})')
        return [f"{pad}{{{{- with {both} }}}}", f"{pad}{key}: {{{{- toYaml . | nindent {indent + 2} }}}}", f"{pad}{{{{- end }}}}"]


# --- Files ------------------------------------------------------------------------------------------------------------------


def version():
    return re.search(r"project\(duet VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]


def filled(text, objects):
    """values.yaml, with what deploy/k8s says."""
    def value(kind, name, *path):
        slot = objects[(kind, name)]
        for key in path:
            slot = slot.children[key]
        return slot.values[0][1]
    known = {f"{each}_{key}": value("ConfigMap", f"duet-{each}-model", "data", f"MODEL_{key.upper()}")
             for each in ("detector", "segmenter") for key in ("url", "sha256")}
    known |= {f"{each}_{key}": value("HorizontalPodAutoscaler", f"duet-{each}", "spec", key)
              for each in SCALED for key in ("minReplicas", "maxReplicas")}
    known |= {claim.replace("-", "_"): value("PersistentVolumeClaim", claim, "spec", "resources", "requests", "storage")
              for claim in CLAIMS}
    known["redis_image"] = value("Deployment", "duet-redis", "spec", "template", "spec", "containers", "redis", "image")
    known["host"] = value("Gateway", "duet", "spec", "listeners", "https", "hostname")
    triggers = ("ScaledObject", "duet-detector", "spec", "triggers")
    known |= {f"keda_{key}": value(*triggers, "cron", "metadata", key) for key in ("timezone", "start", "end")}
    known["keda_prometheus"] = value(*triggers, "prometheus", "metadata", "serverAddress")
    known |= {f"traces_{key}": value("ConfigMap", "duet-traces", "data", f"DUET_OTLP_{key.upper()}") for key in ("endpoint", "sample")}
    known["class"] = value("Gateway", "duet", "spec", "gatewayClassName")
    known["components"] = "\n".join(f"  {name}: false  # {about(folder)}" for name, folder, _ in COMPONENTS)
    return re.sub(r"\$\{(\w+)\}", lambda match: str(known[match[1]]), text)


def about(folder):
    """The first sentence of the component's own comment."""
    comment = " ".join(line.removeprefix("#").strip() for line in re.match(
        r"(#.*\n)+", (K8S / "components" / folder / "kustomization.yaml").read_text())[0].splitlines())
    return re.split(r"(?<=[a-zA-Z)])[.:] ", comment)[0].rstrip(".")


def service_values(service):
    lines = []
    if service == "redis":
        lines += ["  image: ${redis_image}", "  secret: duet-redis  # its key `password`"]
    else:
        lines += [f"  image: {{repository: duet-{service}, tag: \"\"}}"]
    if service in SCALED:
        lines += ["  # A number, unless `availability` or `keda` decides.", "  replicas: null",
                  f"  autoscaling: {{minReplicas: ${{{service}_minReplicas}}, maxReplicas: ${{{service}_maxReplicas}}}}"]
    if service in ("detector", "segmenter"):
        lines += ["  # What the file's SHA-256 begins with is checked; a change rolls the Pods.", "  model:",
                  f"    url: ${{{service}_url}}", f"    sha256: \"${{{service}_sha256}}\""]
    if service == "gateway":
        lines += ["  service: {type: ClusterIP, nodePort: null}"]
    if service == "trainer":
        lines += ["  # Mounted by Pods on several nodes: its class must offer ReadWriteMany.",
                  "  models: {size: ${duet_models}, storageClass: \"\"}", "  work: {size: ${duet_trainer_work}, storageClass: \"\"}"]
    if service != "redis":
        lines += ["  args: []  # further flags, as --log_level=debug"]
    return [f"{service}:", *lines, "  env: []", "  resources: {}  # merged into those of templates/", "  nodeSelector: {}",
            "  tolerations: []", "  affinity: {}", ""]


VALUES = "\n".join([
    "# Made from deploy/k8s by tools/make_helm_chart.py. Empty maps and lists add to what the templates say.",
    "image:",
    "  registry: \"\"    # registry.example.com/labelling",
    "  tag: \"\"         # the chart's appVersion; a service's own may end in a digest, 0.1.0@sha256:…",
    "  pullSecrets: []  # [{name: …}]",
    "",
    "# What comes besides the three processes; deploy/k8s/components has the same.",
    "components:", "${components}", "",
    *(line for service in SERVICES for line in service_values(service)),
    "# Of the init containers, which fetch the weights.",
    "fetchModel:", "  image: {repository: duet-fetch-model, tag: \"\"}", "",
    "labelStudio:", "  secret: duet-label-studio  # its keys `url` and `api-key`", "",
    "# Working hours: between them autoscaling.minReplicas and more, else none.",
    "keda:", "  timezone: ${keda_timezone}", "  start: ${keda_start}", "  end: ${keda_end}", "  prometheus: ${keda_prometheus}", "",
    "# endpoint: of a collector that takes OTLP over HTTP; namespace and port: what models may reach of it. sample: of the gateway's traces.",
    "traces: {endpoint: \"${traces_endpoint}\", namespace: observability, port: 4318, sample: ${traces_sample}}", "",
    "gatewayApi:", "  className: ${class}", "  host: ${host}", "  certificateSecret: duet-gateway-tls", "",
    "monitoring:", "  labels: {}  # of ServiceMonitor and PrometheusRule, where your operator selects by them", ""])


def chart():
    """{file below deploy/helm/duet: text}"""
    objects = merged()
    files = {"Chart.yaml": yaml.safe_dump({
        "apiVersion": "v2", "name": "duet", "version": version(), "appVersion": version(), "type": "application",
        "description": "Pre-labels images for Label Studio: RTMDet and Segment Anything, served in C++",
        "kubeVersion": ">=1.28.0-0"}, sort_keys=False, width=200)}
    files["values.yaml"] = filled(VALUES, objects)
    for (kind, name), slot in objects.items():
        file = f"templates/{name}.yaml"
        text = Template(kind, name, slot).text()
        for known, wanted in INSIDE.get((kind, name), {}).items():
            if known not in text:
                sys.exit(f"{kind} {name} has no '{known}' any more, which values.yaml decides")
            text = text.replace(known, wanted)
        files[file] = files.get(file, HEADER) + text
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if something would be written")
    check = parser.parse_args().check
    wanted = chart()
    there = {str(file.relative_to(CHART)): file for file in CHART.rglob("*.yaml")}
    stale = [name for name, text in wanted.items() if name not in there or there[name].read_text() != text]
    gone = [name for name, file in there.items() if name not in wanted and file.read_text().startswith(HEADER)]
    if check:
        for name in stale + gone:
            print(f"deploy/helm/duet/{name} is stale: run tools/make_helm_chart.py")
        sys.exit(bool(stale or gone))
    for name in stale:
        (CHART / name).parent.mkdir(parents=True, exist_ok=True)
        (CHART / name).write_text(wanted[name])
    for name in gone:
        there[name].unlink()


if __name__ == "__main__":
    main()
