"""Alert rules, dashboard, scrape configuration and the autoscaler's metric, against what the processes really export."""

import json
import re
import subprocess

import pytest
import requests
import yaml

from conftest import DEPLOY, ROOT, render, run, tool
from processes import Redis, free_port, profiles, trio
from service import wait_until

MONITORING = DEPLOY / "k8s/components/monitoring"
# What is counted only once something went wrong; the rest must be there after ordinary work.
ONLY_ON_TROUBLE = {"duet_queue_unserved_total", "duet_gateway_degraded_total", "duet_gateway_dropped_total",
                   # Only after a training; e2e's test_training.py has some.
                   "duet_trainer_job_seconds"}
RATE_INTERVAL = "5m"  # what Grafana would put for $__rate_interval; longer than this test takes on a busy machine


def rules_as_prometheus_wants_them():
    """By the very command of compose.yaml."""
    command = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["prometheus"]["command"][0]
    sed = command.splitlines()[0].split(" >")[0].replace("/etc/prometheus/duet-rules.yaml", str(MONITORING / "rules.yaml"))
    result = run("sh", "-ec", sed)
    assert result.returncode == 0, result.stderr
    return result.stdout


def alert_rules():
    groups = yaml.safe_load(rules_as_prometheus_wants_them())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard_expressions():
    """(title, expression) of every query of every panel."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return [(panel["title"], target["expr"].replace("$__rate_interval", RATE_INTERVAL))
            for panel in panels for target in panel.get("targets", [])]


def adapter_expression():
    (rule,) = yaml.safe_load((DEPLOY / "k8s/components/queue-time/adapter-rule.yaml").read_text())["rules"]["custom"]
    return rule["metricsQuery"].replace("<<.LabelMatchers>>", 'job=~"duet-.*"').replace("<<.GroupBy>>", "instance")


def metric_names(expression):
    return set(re.findall(r"\b(?:duet|process)_[a-z_]+", expression))


def family(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_promtool_accepts_the_rules_and_their_unit_tests(tmp_path):
    (tmp_path / "rules.yaml").write_text(rules_as_prometheus_wants_them())
    (tmp_path / "rules_test.yaml").write_text((ROOT / "tests/deploy/rules_test.yaml").read_text())

    checked = run(tool("promtool"), "check", "rules", "rules.yaml", cwd=tmp_path)
    tested = run(tool("promtool"), "test", "rules", "rules_test.yaml", cwd=tmp_path)

    assert checked.returncode == 0, checked.stderr
    assert tested.returncode == 0, tested.stdout


def test_every_alert_has_a_unit_test_and_says_what_to_do():
    tests = yaml.safe_load((ROOT / "tests/deploy/rules_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    alerts = {rule["alert"]: rule for rule in alert_rules() if "alert" in rule}
    assert fired == alerts.keys()
    for rule in alerts.values():
        assert rule["annotations"].keys() == {"summary", "action", "runbook_url"} and rule["labels"]["severity"]


def test_every_alert_leads_to_its_section_of_the_operations_page():
    page = (ROOT / "docs/operations.md").read_text()
    alerts = [rule["alert"] for rule in alert_rules() if "alert" in rule]
    assert re.findall(r"^### (Duet\w+)$", page, re.MULTILINE) == alerts
    for rule in alert_rules():
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    # Something to do, not the name alone.
    sections = re.split(r"^##+ ", page, flags=re.MULTILINE)
    assert all(len(section.split()) > 20 for section in sections if section.startswith("Duet"))


def test_compose_scrapes_the_ports_that_the_services_listen_on(tmp_path, default_of):
    text = (DEPLOY / "compose/prometheus.yaml").read_text()
    (tmp_path / "prometheus.yaml").write_text(text.replace("/tmp/rules.yaml", str(tmp_path / "rules.yaml")))
    (tmp_path / "rules.yaml").write_text(rules_as_prometheus_wants_them())
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

    checked = run(tool("promtool"), "check", "config", tmp_path / "prometheus.yaml")

    assert checked.returncode == 0, checked.stderr
    for job in yaml.safe_load(text)["scrape_configs"]:
        (lookup,) = job["dns_sd_configs"]
        (name,) = lookup["names"]
        assert name in services and job["job_name"] == f"duet-{name}"
        flag = "port" if name == "gateway" else "metrics_port"
        assert str(lookup["port"]) == default_of(job["job_name"], flag)


def test_the_operator_finds_every_service_by_its_port():
    manifests = list(yaml.safe_load_all(render("cpu")))
    (monitor,) = [each for each in manifests if each["kind"] == "ServiceMonitor"]
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    endpoints = {each["port"] for each in monitor["spec"]["endpoints"]}
    for service in (each for each in manifests if each["kind"] == "Service"):
        labels = service["metadata"]["labels"]
        if service["metadata"]["name"] == "duet-redis":
            continue
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert len(endpoints & {port["name"] for port in service["spec"]["ports"]}) == 1
    (adapter,) = yaml.safe_load((DEPLOY / "k8s/components/queue-time/adapter-rule.yaml").read_text())["rules"]["custom"]
    scaled = {metric["pods"]["metric"]["name"] for each in yaml.safe_load_all(render("gpu"))
              if each["kind"] == "HorizontalPodAutoscaler" for metric in each["spec"]["metrics"] if "pods" in metric}
    assert scaled == {adapter["name"]["as"]}


class Prometheus:
    """A real one, with compose.yaml's rules and scrape configuration, but on this machine and every second."""

    def __init__(self, directory, targets):
        config = yaml.safe_load((DEPLOY / "compose/prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(directory / "rules.yaml")]
        config["scrape_configs"] = [job for job in config["scrape_configs"] if job["job_name"] in targets]
        for job in config["scrape_configs"]:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
        (directory / "rules.yaml").write_text(rules_as_prometheus_wants_them())
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(directory / "log", "w")
        self.process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={directory}/prometheus.yaml",
             f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        wait_until(self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, open(self.log.name).read()
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    def query(self, expression):
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    def wait_for(self, expression):
        wait_until(lambda: self.query(expression))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(prometheus, what each job exports): the four processes after some work of every kind, scraped."""
    shared, nobody = tmp_path_factory.mktemp("models"), ["--label_studio_url=http://127.0.0.1:9", "--label_studio_api_key=unused"]
    with Redis() as redis, trio(detector_flags=[f"--model_root={shared}"],
                                segmenter_flags=[f"--embedding_store={redis.url}", f"--model_root={shared}"],
                                gateway_flags=[f"--settings_store={redis.url}", f"--model_root={shared}", *nobody],
                                trainer_flags=[f"--work_dir={tmp_path_factory.mktemp('work')}", f"--model_root={shared}",
                                               *nobody]) as duet:
        ports = {"duet-gateway": duet.gateway.port, "duet-detector": duet.detector.metrics_port,
                 "duet-segmenter": duet.segmenter.metrics_port, "duet-trainer": duet.trainer.metrics_port}
        prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), ports)
        try:
            prometheus.wait_for("count(duet_ready == 1) == 4")
            done = 0
            for clicks in range(1, 4):  # with scrapes between, since a series' first value has no rate
                done += duet.work()
                prometheus.wait_for(f"sum(duet_gateway_tasks_total) == {done}")
                prometheus.wait_for(f"duet_segmenter_prompts_total >= {clicks}")
            prometheus.wait_for(f'rate(duet_segmenter_prompts_total[{RATE_INTERVAL}]) > 0')
            prometheus.wait_for(f'rate(duet_segmenter_embeddings_total{{result="hit"}}[{RATE_INTERVAL}]) > 0')
            texts = {job: requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
                     for job, port in ports.items()}
            yield prometheus, texts
        finally:
            prometheus.stop()


@pytest.mark.parametrize("job", ["duet-gateway", "duet-detector", "duet-segmenter", "duet-trainer"])
def test_promtool_accepts_what_a_process_exports(watched, job):
    _, texts = watched

    result = run(tool("promtool"), "check", "metrics", input=texts[job])

    assert result.returncode == 0, result.stderr


def test_every_panel_of_the_dashboard_shows_something(watched):
    prometheus, texts = watched
    exported = set(re.findall(r"^# TYPE (\w+)", "\n".join(texts.values()), re.MULTILINE))
    empty = []
    for title, expression in dashboard_expressions():
        names = {family(name) for name in metric_names(expression)}
        assert names, expression
        result = prometheus.query(expression)
        trouble = names & ONLY_ON_TROUBLE or 'code!="OK"' in expression
        assert trouble or names <= exported, expression
        if not result and not trouble:
            empty.append((title, expression))
    assert not empty


def test_every_rule_speaks_of_metrics_and_labels_that_exist(watched):
    prometheus, texts = watched
    text = "\n".join(texts.values())
    for rule in alert_rules():
        prometheus.query(rule["expr"])
        for name, matchers in re.findall(r"\b((?:duet|process)_[a-z_]+)(?:\{([^}]*)\})?", rule["expr"]):
            if family(name) in ONLY_ON_TROUBLE:
                continue
            assert re.search(rf"^# TYPE {family(name)} ", text, re.MULTILINE), rule["expr"]
            for label in re.findall(r'(\w+)[=!]~?"', matchers or ""):
                assert label == "job" or re.search(rf"^{name}\{{.*\b{label}=", text, re.MULTILINE), rule["expr"]


def test_nothing_is_alarming_about_ordinary_work(watched):
    prometheus, _ = watched

    assert not prometheus.query('ALERTS{alertstate="firing"}')


def test_the_autoscalers_metric_has_a_value_for_every_model_replica(watched):
    prometheus, _ = watched

    waits = [float(each["value"][1]) for each in prometheus.query(adapter_expression())]

    assert len(waits) == 2 and all(0 <= wait < 60 for wait in waits)


def test_trouble_is_counted_under_the_names_that_alerts_look_for(tmp_path):
    """A segmenter that is away (boxes alone), and a detector whose queue is full."""
    with trio(detector_flags=["--queue_size=1"], gateway_flags=[
            f"--profiles={profiles(tmp_path, boxes={'degrade': 'boxes', 'score_threshold': 0})}"]) as duet:
        duet.segmenter.kill()
        assert duet.predict("RectangleLabels", "BrushLabels", path="/p/boxes/predict").ok
        assert duet.gateway.metrics()["duet_gateway_degraded_total"] == 1

        wait_until(lambda: duet.overload_detector() or
                   duet.detector.metrics().get('duet_queue_unserved_total{queue="detect",reason="full"}'))
