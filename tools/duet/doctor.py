"""Looks whether a machine, Duet's processes on it and Label Studio are as they have to be.

usage: doctor.py [--json] <FACTS
FACTS are name=value with a zero byte after each, as doctor.sh writes them. Prints a line for each check: how it stands (ok,
warning or mend), what was found, and how to mend it. Exits with 1 if something has to be mended.
"""

import dataclasses
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

from failures import fields_of
from logs import is_coloured, plain

GIGABYTE = 1 << 30
# Beside the models: LibTorch itself, a process, and what a request takes.
PROCESS_BYTES = 250 << 20
EMBEDDING_CACHE_BYTES = 512 << 20
LAST_FAILURES = 3
PROJECTS_LOOKED_AT = 20
# Some models take minutes for a picture.
TASK_SECONDS = 100


@dataclasses.dataclass
class Row:
    check: str
    state: str  # ok, warning, mend
    found: str
    mend: str = ""


def ok(check, found):
    return Row(check, "ok", found)


def warning(check, found, mend=""):
    return Row(check, "warning", found, mend)


def broken(check, found, mend):
    return Row(check, "mend", found, mend)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


# The machine.

def check_cpu(facts, cpuinfo=None):
    found = re.search(r"^flags\s*:(.*)$", read("/proc/cpuinfo") if cpuinfo is None else cpuinfo, re.MULTILINE)
    if not found:
        yield warning("cpu", "no x86-64 CPU, which Duet's own kernels are for: LibTorch's compute alone", "another machine, where that is too slow")
        return
    flags = set(found.group(1).split())
    wants_bf16 = "bf16" in (facts.get("detector.precision"), facts.get("segmenter.precision"))
    if "avx2" not in flags:
        yield warning("cpu", "no AVX2: pictures take several times as long as on a newer CPU", "another machine")
    elif {"amx_tile", "amx_bf16"} <= flags:
        yield ok("cpu", "AVX-512, bf16 and AMX: --precision=bf16 is the fastest")
    elif "avx512_bf16" in flags:
        yield ok("cpu", "AVX-512 with bf16, no AMX: --precision=bf16 is used where it is faster, which depends on the CPU")
    elif wants_bf16:
        yield warning("cpu", "--precision=bf16 on a CPU without bf16: it would be slower, so float32 is computed",
                      "./duet up --precision=")
    elif "avx512f" in flags:
        yield ok("cpu", "AVX-512 without bf16: --precision=fp32 is right")
    else:
        yield ok("cpu", "AVX2 without AVX-512: --precision=fp32 is right; with AVX-512 a picture takes about half as long")


def blas_library():
    """The file that libblas.so.3 is, or ''."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"libblas\.so\.3 .*=> (\S+)", listed)
    return os.path.realpath(found.group(1)) if found else ""


def check_blas(facts, library=None):
    library = blas_library() if library is None else library
    mend = "apt-get install libopenblas0-openmp, then ./duet down and ./duet up"
    slow = [log_line["warning"] for name in ("detector", "segmenter")
            for log_line in log_lines(facts, f"duet-{name}") if log_line.get("event") == "blas.slow"]
    if slow:
        yield broken("blas", slow[-1], mend)
    elif not library:
        yield warning("blas", "there is no libblas.so.3", mend)
    elif "openblas" not in library and "mkl" not in library:
        yield broken("blas", f"{library} is the reference BLAS, which is twenty times slower", mend)
    elif "openblas" in library and "openmp" not in library:
        yield warning("blas", f"{library} has threads of its own, which get into the way of LibTorch's", mend)
    else:
        yield ok("blas", library)


def cpu_quota():
    """CPU seconds a second that a container may use, or None."""
    quota, _, period = read("/sys/fs/cgroup/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.strip().isdigit() else None


def check_threads(facts):
    cpus = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    found = f"{cpus} CPUs" + (f", of which {quota:g} may be used" if quota is not None and quota < cpus else "")
    told = {name: int(facts.get(f"{name}.threads") or 0) for name in ("detector", "segmenter")}
    for name, threads in told.items():
        if threads > cpus:
            yield warning("threads", f"{found}, and the {name} is told to use {threads} threads", f"./duet up --{name}_threads=")
            return
    if cpus < 2:
        yield warning("threads", f"{found}: a click waits for whatever else is computed", "two CPUs or more")
    else:
        yield ok("threads", f"{found}; " + ", ".join(f"{name}: {threads or 'all'}" for name, threads in told.items()))


def available_bytes():
    found = re.search(r"^MemAvailable:\s*(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    free = int(found.group(1)) << 10 if found else 0
    limit, used = read("/sys/fs/cgroup/memory.max").strip(), read("/sys/fs/cgroup/memory.current").strip()
    return min(free, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else free


def gigabytes(count):
    return f"{count / GIGABYTE:.1f} GB"


def check_memory(facts, free=None):
    free = available_bytes() if free is None else free
    need = 0
    for name in ("detector", "segmenter"):
        if facts.get(f"process.duet-{name}") == "running":
            continue
        try:
            # The file, and its weights as they are packed for the CPU.
            need += PROCESS_BYTES + 2 * os.path.getsize(facts.get(f"{name}.checkpoint", ""))
        except OSError:
            need += PROCESS_BYTES
        need += EMBEDDING_CACHE_BYTES if name == "segmenter" else 0
    found = f"{gigabytes(free)} are free" + (f", and the models need about {gigabytes(need)}" if need else "")
    if free < need:
        yield broken("memory", found, "a smaller model (./duet models list), --embedding_cache_mb=128, or more memory")
    elif free < need + PROCESS_BYTES:
        yield warning("memory", found, "a smaller model (./duet models list), --embedding_cache_mb=128, or more memory")
    else:
        yield ok("memory", found)


def check_disk(facts, free=None):
    folder = facts["state"]
    free = shutil.disk_usage(folder if os.path.isdir(folder) else ".").free if free is None else free
    found = f"{gigabytes(free)} are free where {folder} is"
    if free < GIGABYTE // 10:
        yield broken("disk", found, "room: logs, models and Label Studio's data are there")
    elif free < GIGABYTE:
        yield warning("disk", found, "about 1 GB is needed to build Duet, and as much for a Label Studio")
    else:
        yield ok("disk", found)


# What runs.

def check_ports(facts):
    ports = {name.removeprefix("port."): value.split(" ", 2) for name, value in facts.items() if name.startswith("port.")}
    for name, (port, state, *owner) in ports.items():
        if state == "held":
            by = f" by {owner[0]}" if owner and owner[0] else ""
            yield broken("ports", f"--{name}={port}: port {port} is in use{by}", f"stop that program, or ./duet up --{name}=…")
    if not any(state == "held" for _, state, *_ in ports.values()):
        yield ok("ports", ", ".join(f"{port} {'is used' if state == 'ours' else 'is free'}" for port, state, *_ in ports.values()))


def check_processes(facts):
    never = []
    for name in ("duet-detector", "duet-segmenter", "duet-gateway", "duet-trainer", "label-studio"):
        state, _, words = facts.get(f"process.{name}", "never").partition(" ")
        if state == "ended":
            again = "./duet up --with_label_studio" if name == "label-studio" else "./duet up"
            yield broken(name, words, f"{again}; its log is {facts['logs']}/{name}.log")
        elif state == "never" and name in ("duet-detector", "duet-segmenter", "duet-gateway"):
            never.append(name)
    if never:
        yield broken("services", f"{', '.join(never)}: not started", "./duet up")


def log_lines(facts, name):
    return filter(None, map(fields_of, read(os.path.join(facts["logs"], f"{name}.log")).splitlines()))


class Http:
    """Asks with curl, whose settings (secrets too) go by a pipe."""

    def __init__(self, url, settings):
        self.url, self.settings = url.rstrip("/"), settings

    def ask(self, path, body=None, seconds=10):
        """(status, text); the status is 0 if nothing answers, -1 if a certificate isn't trusted."""
        lines = [self.settings, setting("url", self.url + path), "noproxy = \"*\"", "silent", f"max-time = {seconds}",
                 "write-out = \"\\n%{http_code}\""]
        if body is not None:
            lines += [setting("header", "Content-Type: application/json"), setting("data", json.dumps(body))]
        answer = subprocess.run(["curl", "--config", "-"], input="\n".join(lines), capture_output=True, text=True, errors="replace",
                                check=False)
        if answer.returncode in (35, 51, 58, 60, 90):
            return -1, ""
        text, _, status = answer.stdout.rpartition("\n")
        return (int(status) if status.isdigit() else 0), text

    def ask_json(self, path, **more):
        """What is answered with 200, or None."""
        status, text = self.ask(path, **more)
        try:
            return json.loads(text) if status == 200 else None
        except ValueError:
            return None


def setting(name, value):
    return '{} = "{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))


def check_gateway(facts, gateway):
    """The services as the gateway sees them."""
    if facts.get("process.duet-gateway") != "running":
        return
    about = gateway.ask_json("/")
    if about is None:
        yield broken("gateway", f"nothing answers at {gateway.url}", f"its log is {facts['logs']}/duet-gateway.log")
        return
    yield ok("gateway", f"{gateway.url}, version {about.get('version')}")
    for name in ("detector", "segmenter"):
        service = about.get(name)
        if service is None:
            yield warning(name, f"the gateway has no {name}" + (", so there are no masks" if name == "segmenter" else ""),
                          f"./duet up starts one; a gateway of yours takes --{name}=host:port")
        elif not service.get("reachable"):
            yield broken(name, f"away: {service.get('error', 'it has not been heard of')}", "./duet status, ./duet up")
        elif len(service.get("versions", {})) > 1:
            yield warning(name, f"its replicas serve {len(service['versions'])} versions: {', '.join(service['versions'])}",
                          "the same files everywhere, if no roll-out is on its way")
        else:
            yield ok(name, f"{service.get('name')}, {service.get('version')}")
    for one in about.get("warnings", []):
        where = f"/p/{one['profile']}" if one.get("profile") else ""
        found = f"project {one['project']}{where}: {one['warning']}"
        if one["about"] == "extra_params":
            yield warning("extra parameters", found, "Settings → Model → Edit in Label Studio: Extra params; docs/label_studio.md has all of them")
        else:
            yield warning("label config", found,
                          "compare with ./duet label-config; {\"label_map\": {class: label}} in the backend's extra parameters joins others")


HINTS = [  # of a failure's sentence: what to do
    (re.compile(r"schema:|extra_params|extra parameters", re.I), "the backend's extra parameters: docs/label_studio.md has all settings"),
    (re.compile(r"token|unauthorized|401", re.I), "./duet up --label_studio_url=URL, which asks for a token"),
    (re.compile(r"deadline|timed? ?out|in time|too long", re.I),
     "retrieve again, or ./duet up --background=push, which finishes large selections by itself"),
    (re.compile(r"not an image|no image|damaged|cut off|not found|no such|404", re.I),
     "put the image right, then open the task again after 20 seconds: Duet remembers for so long what it could not use"),
    (re.compile(r"reserved|private address|not allowed", re.I), "docs/security.md says which addresses may be asked"),
    (re.compile(r"away|refused|unavailable", re.I), "./duet status"),
]


def hint(sentence):
    return next((mend for pattern, mend in HINTS if pattern.search(sentence)), "./duet logs --failures has more")


def failures_of(facts, projects):
    """The newest first: (what failed, its sentence)."""
    # What is refused before the project is known is in the log alone.
    refused = [("setup", line.get("project"), None, line["error"]) for line in log_lines(facts, "duet-gateway")
               if line.get("event") == "http.done" and str(line.get("route")).endswith("/setup") and line.get("error")][::-1]
    if projects is not None:
        return [(one.get("kind"), one.get("project"), one.get("task"), one.get("sentence", ""))
                for one in projects["failures"]] + refused
    lines = [line for line in log_lines(facts, "duet-gateway") if line.get("event") == "task.failed"]
    return [(line.get("kind"), line.get("project"), line.get("task_id"), line.get("error", "")) for line in reversed(lines)] + refused


def check_failures(facts, projects):
    failures = failures_of(facts, projects)
    shown = {}
    for kind, project, task, sentence in failures:
        shown.setdefault(sentence, (kind, project, task))
    for sentence, (kind, project, task) in list(shown.items())[:LAST_FAILURES]:
        what = {"setup": "connecting", "interactive": "a click"}.get(kind, "a task")
        where = ", ".join(filter(None, [f"project {project}" if project else "", f"task {task}" if task else ""]))
        yield warning("failures", f"{what}{f' ({where})' if where else ''}: {sentence}", hint(sentence))
    if not failures:
        yield ok("failures", "none since the gateway was started")


def check_writes(projects):
    """What the configs of projects that are connected leave out."""
    for project in (projects or {}).get("projects", []):
        writes = project.get("writes")
        if writes is None:
            continue
        name = f"project {project['project']}"
        classes = [one for image in writes.get("images", []) for one in image.get("classes", [])]
        tags = {target["tag"] for one in classes for target in one["targets"]}
        smart = [one for image in writes.get("images", []) for one in image.get("smart", [])]
        if classes and not any(re.search("Brush|Polygon|Vector|Bitmask", tag) for tag in tags):
            yield warning("label config", f"{name}: boxes, but no masks, since no brush or polygons have a label of any class",
                          "a <Brush> or <Polygon> in the label config; ./duet label-config has one")
        if classes and not smart:
            yield warning("label config", f"{name}: its label config has no smart tool, so clicks are not sent to Duet",
                          "a KeyPoint or Rectangle without smart=\"false\"; ./duet label-config has both")
        if classes and writes.get("unmatched"):
            left = writes["unmatched"]
            yield warning("label config", f"{name}: {len(left)} classes have no label and are dropped: {', '.join(left[:5])}"
                          + (", …" if len(left) > 5 else ""), "labels of these names, if they are wanted")


# Label Studio.

def is_personal(token):
    return token.count(".") == 2


def label_studio_of(facts):
    """(Http with the token, or None; a Row that says why not)."""
    url, token, ca = (facts.get(f"label_studio.{name}", "") for name in ("url", "token", "ca"))
    base = f'{setting("cacert", ca)}\n' if ca else ""
    if not url:
        return None, warning("label studio", "none was named, so only images that need no token are fetched",
                             "./duet up --label_studio_url=URL, which asks for a token")
    studio = Http(url, base)
    status, text = studio.ask("/api/version")
    if status == -1:
        return None, broken("label studio", f"{url}: its certificate is not trusted", "./duet up --ca_certificates=FILE")
    if status == 0:
        own = facts.get("process.label-studio", "never") != "never"
        return None, broken("label studio", f"nothing answers at {url}",
                            "./duet up --with_label_studio" if own else "start it, or name another: ./duet up --label_studio_url=URL")
    version = re.search(r'"label-studio-os-package":\s*\{\s*"version":\s*"([^"]+)"|"release":\s*"([^"]+)"', text)
    if status != 200 or not version:
        return None, broken("label studio", f"{url} answers {status} to a question that Label Studio would answer", "is the URL right?")
    found = f"{url}, version {version.group(1) or version.group(2)}"
    if not token:
        return None, broken("label studio", f"{found}: no token was given: tasks whose images need one fail",
                            f"./duet up --label_studio_url={url}, which asks for the token")
    refused = broken("label studio", f"{found}: refuses the token that Duet has",
                     f"a new one: Account & Settings → Personal Access Token, then ./duet up --label_studio_url={url} "
                     "--label_studio_api_key= and enter it")
    if is_personal(token):
        access = studio.ask_json("/api/token/refresh", body={"refresh": token})
        if access is None or "access" not in access:
            return None, refused
        studio.settings += setting("header", f"Authorization: Bearer {access['access']}")
    else:
        studio.settings += setting("header", f"Authorization: Token {token}")
    if studio.ask("/api/current-user/whoami")[0] != 200:
        return None, refused
    return studio, ok("label studio", f"{found}, accepts the token")


SWITCHES = "LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false LABEL_STUDIO_SSRF_PROTECTION_ENABLED=false label-studio start"


def check_switches(facts, studio):
    """Whether it lets backends be on this machine: asked for a project that can't be, so that nothing comes of it."""
    status, text = studio.ask("/api/ml", body={"url": facts["gateway.url"], "project": 0, "title": "duet doctor"})
    if status in (400, 403) and re.search("reserved|SSRF|banned", text, re.I):
        yield broken("switches", f"Label Studio refuses backends on its own machine or in a private network ({facts['gateway.url']})",
                     f"start it so: {SWITCHES}")
    elif status == 400:
        yield ok("switches", f"Label Studio lets backends be at {facts['gateway.url']}")
    else:
        yield warning("switches", f"Label Studio answers {status} when it is asked whether {facts['gateway.url']} may be a backend",
                      f"if it refuses the URL, start it so: {SWITCHES}")


def same_place(url, gateway_url):
    """Whether a backend's URL is likely the gateway's: the names of a machine differ, its port doesn't."""
    port = re.search(r":(\d+)", url.split("://", 1)[-1])
    own = re.search(r":(\d+)", gateway_url.split("://", 1)[-1])
    return bool(port and own and port.group(1) == own.group(1))


def check_backends(facts, studio, connected):
    """Of the latest projects; those that have this gateway go into `connected`."""
    listed = studio.ask_json(f"/api/projects/?page=1&page_size={PROJECTS_LOOKED_AT}&fields=id,created_at,label_config")
    if listed is None:
        yield warning("projects", "Label Studio does not list its projects", "a token of somebody who may see them")
        return
    for project in listed.get("results", []):
        for backend in studio.ask_json(f"/api/ml?project={project['id']}") or []:
            if not same_place(backend["url"], facts["gateway.url"]):
                continue
            name = f"project {project['id']}"
            connected.append(project)
            if backend.get("state") not in ("CO", "TR", "PR"):
                yield broken("projects", f"{name}: {backend['url']} is not connected: {brief(backend.get('error_message'))}",
                             mend_of_backend(facts, backend))
            elif not backend.get("is_interactive"):
                yield warning("projects", f"{name}: Interactive preannotations is off, so smart tools do nothing",
                              "Settings → Model → Edit: switch it on")
            else:
                yield ok("projects", f"{name} is connected to {backend['url']}, Interactive preannotations is on{settings_at(backend['url'])}")
    if not connected:
        yield warning("projects", f"none of the {len(listed.get('results', []))} latest projects has this Duet as its model",
                      f"Settings → Model → Connect Model: {facts['gateway.url']}")


def settings_at(url):
    """For a URL with a path: whose settings hold for it. A proxy may need the path, so the gateway takes any."""
    path = urllib.parse.urlsplit(url).path.rstrip("/")
    profile = re.search(r"/p/([^/]+)$", path)
    return f"; its settings are those of profile {profile[1]}" if profile else "; its settings are the default ones" if path else ""


def brief(text):
    return re.sub(r"<[^>]*>|\s+", " ", str(text or "it says nothing")).strip()[:300]


def mend_of_backend(facts, backend):
    text = str(backend.get("error_message"))
    if re.search("reserved|SSRF|banned", text, re.I):
        return f"start Label Studio so: {SWITCHES}"
    if "look like a valid ML backend" in text:
        return "./duet logs --failures: the line of /setup says why"
    if facts.get("gateway.bind") in ("127.0.0.1", "::1", "localhost"):
        return "does Label Studio run in a container or on another machine? ./duet up --bind=0.0.0.0 and this machine's address"
    return "does that address lead to this machine from where Label Studio runs?"


def name_of(project):
    """As Label Studio names it to backends."""
    return f"{project['id']}.{int(datetime.datetime.fromisoformat(project['created_at']).timestamp())}"


def check_task(gateway, studio, connected):
    """One task of a project that is connected, asked for as Label Studio asks: its image is fetched by the gateway."""
    for project in connected:
        listed = studio.ask_json(f"/api/tasks?project={project['id']}&page_size=1&fields=all") or {}
        tasks = listed.get("tasks") if isinstance(listed, dict) else None
        if not tasks:
            continue
        task = {"id": tasks[0]["id"], "data": tasks[0]["data"]}
        status, text = gateway.ask("/predict", seconds=TASK_SECONDS, body={
            "tasks": [task], "project": name_of(project), "label_config": project["label_config"],
            "params": {"login": None, "password": None, "context": None}})
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {}
        name = f"task {task['id']} of project {project['id']}"
        results = answer.get("results") or [{}]
        if status != 200 or "result" not in results[0]:
            sentence = answer.get("error") or f"the gateway answers {status} and no prediction"
            yield broken("a task", f"{name}: {sentence}", hint(sentence))
        elif not results[0]["result"]:
            yield warning("a task", f"{name}: its image was fetched, and nothing was found in it that has a label",
                          "./duet label-config shows the classes; ./duet up --score_threshold=0.3 finds more")
        else:
            yield ok("a task", f"{name}: its image was fetched, {len(results[0]['result'])} regions")
        return
    if connected:
        yield warning("a task", "the connected projects have no tasks", "import images")


def check_late(gateway):
    """Tasks of large selections that were not done in Label Studio's time."""
    late = sum(float(count) for count in re.findall(r'^duet_gateway_tasks_total\{.*code="DEADLINE_EXCEEDED".*\} (\S+)$',
                                                    gateway.ask("/metrics")[1], re.MULTILINE))
    if late:
        yield warning("large selections", f"{late:g} tasks were not done in the time that Label Studio waits for",
                      "retrieve again, or ./duet up --background=push, which finishes them by itself")


def rows_of(facts):
    for check in (check_cpu, check_blas, check_threads, check_memory, check_disk, check_ports, check_processes):
        yield from check(facts)
    gateway = Http(facts["gateway.url"], facts.get("gateway.curl", ""))
    yield from check_gateway(facts, gateway)
    connected = []
    studio, row = label_studio_of(facts)
    yield row
    if studio:
        yield from check_switches(facts, studio)
        yield from check_backends(facts, studio, connected)
    if facts.get("process.duet-gateway") != "running":
        return
    if studio:
        yield from check_task(gateway, studio, connected)
    projects = gateway.ask_json("/ui/projects")
    yield from check_writes(projects)
    yield from check_failures(facts, projects)
    yield from check_late(gateway)


COLOURS = {"ok": "32", "warning": "33", "mend": "31"}


def shown(row, coloured):
    state = f"{row.state:<8}"
    if coloured:
        state = f"\033[{COLOURS[row.state]}m{state}\033[0m"
    line = f"{state} {row.check:<16} {plain(row.found)}"
    return line + (f"\n{'':<26}→ {plain(row.mend)}" if row.mend else "")


def main(arguments):
    records = sys.stdin.buffer.read().decode(errors="replace").split("\0")
    facts = dict(record.split("=", 1) for record in records if "=" in record)
    worst = 0
    coloured = is_coloured()
    for row in rows_of(facts):
        worst = max(worst, row.state == "mend")
        print(json.dumps(dataclasses.asdict(row), ensure_ascii=False) if "--json" in arguments else shown(row, coloured), flush=True)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
