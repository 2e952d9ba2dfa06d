"""Pages and programs name the same flags, ports, variables and metrics."""

import pathlib
import re
import shutil
import sys
import textwrap

import pytest

import pictures
from conftest import BINARIES, DEPLOY, ROOT, run

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CHANGELOG.md", ROOT / "ARCHITECTURE.md", DEPLOY / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = [*BINARIES, "duet-trainer"]
MANIFESTS = [DEPLOY / "compose.yaml", *sorted((DEPLOY / "k8s").rglob("*.yaml"))]
# Of other programs: docker, kubectl, helm, cmake, ctest, redis, absl, our benchmarks.
OTHERS_FLAGS = {
    "bind", "build", "build-arg", "cert", "cpu_time", "file", "from-literal", "key", "no-browser", "out", "only", "output-on-failure",
    "preset", "profile", "runs", "scale", "seed", "skip", "target", "test-dir", "values", "version", "count",
    "models", "torch", "undefok", "stderrthreshold", "dev", "all", "benchmark_filter", "benchmark_min_time", "json", "seconds",
    "counts", "seeds", "repeats", "iterations", "gunicorn", "gateway", "picture", "outputs", "correct_s", "encodes", "save", "side", "tile", "objects",
    "split_products", "for", "timeout", "type", "previous", "selector", "prefix", "create", "null", "files-from", "exclude", "set", "namespace",
    "create-namespace", "config", "now", "install", "server-side", "image", "platform",
    # of label-studio-ml, which docs/migration.md is about, and of curl
    "with", "host", "kwargs", "log-level", "debug", "model-dir", "check", "root-dir",
    "silent", "show-error", "fail-with-body", "header", "form", "request", "output"}
# Label Studio, Grafana, Prometheus and PostgreSQL in compose.yaml.
OTHERS_PORTS = {"8080", "3000", "9090", "5432", "6379"}


@pytest.fixture(scope="module")
def flags(help_of):
    """Of the processes and of ./duet."""
    text = "".join(help_of(name) for name in PROGRAMS)
    text += "".join(run(ROOT / "duet", *command).stdout for command in (["up", "--help"], ["test", "--help"], ["models"], ["doctor", "--help"], ["logs", "--help"]))
    text += "".join(run(ROOT / "build/release/bin/duet", *command).stdout for command in (
        ["embed", "--help"], ["export", "--help"], ["import", "--help"], ["merge", "--help"], ["models", "--help"], ["models", "inspect", "--help"], ["predict", "--help"], ["prelabel", "--help"],
        ["review", "--help"], ["revision", "--help"], ["train", "--help"]))
    text += help_of("duet-train") + "".join(
        run(ROOT / "build/release/bin/duet-train", command, "--help").stdout for command in ("demo", "segmenter"))
    text += run(sys.executable, ROOT / "tests/bench/capacity.py", "check", "--help").stdout
    named = set(re.findall(r"--([a-z][a-z_-]*[a-z])", text))
    named |= {flag.replace("_", "-") for flag in named}  # to ./duet up both are the same
    for process in ("detector", "segmenter", "trainer"):  # ./duet up takes each for one of them alone
        named |= {f"{process}_{flag}" for flag in re.findall(r"^  --(\w+)", help_of(f"duet-{process}"), re.MULTILINE)}
    return named


@pytest.mark.parametrize("page", PAGES + MANIFESTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_flags_in_a_page_exist(page, flags):
    foreign = page.name == "compose.yaml" or "redis" in page.parts
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z_-]*[a-z])", page.read_text()))
    unknown = named - flags - OTHERS_FLAGS
    if foreign:  # arguments of other programs too; ours have underscores
        unknown = {flag for flag in unknown if "_" in flag}
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_ports_and_variables_in_a_page_are_the_programs(page, help_of, flags):
    text, helps = page.read_text(), "".join(help_of(name) for name in PROGRAMS)
    ports = set(re.findall(r"(?:localhost|HOST|host|gateway|127\.0\.0\.1):(\d{4,5})\b", text))
    assert ports <= set(re.findall(r"\(default: (\d+); env", helps)) | OTHERS_PORTS
    variables = set(re.findall(r"\bDUET_[A-Z_]+[A-Z]\b", text)) - {"DUET_STATE", "DUET_UPDATE_PICTURES", "DUET_UPDATE_GOLDENS", "DUET_REAL_GOLDENS", "DUET_BULK_IMAGES", "DUET_SOAK"}  # of ./duet and of tests
    assert not {variable for variable in variables if variable.removeprefix("DUET_").lower() not in flags}


@pytest.mark.parametrize("page", PAGES + MANIFESTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_metrics_in_a_page_are_declared(page):
    declared = set()
    for header in [*ROOT.glob("lib/**/*.h"), *ROOT.glob("*_service/**/*.h"), *ROOT.glob("gateway/**/*.h")]:
        declared |= set(re.findall(r'"(duet_[a-z_]+)"', header.read_text()))
    named = set(re.findall(r"\b(duet_[a-z_]*(?:_total|_seconds|_bytes|_depth|_in_flight|_ready|_count|_sum|_bucket))\b",
                           page.read_text()))
    own = {"duet_queue_wait_seconds"}  # made by components/queue-time
    assert {re.sub(r"_(count|sum|bucket)$", "", name) for name in named} - own <= declared


def anchors(page):
    """What links with # can name in a page, as GitHub makes it from the headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES + [ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            file = (page.parent / target) if target else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def sections(page, other):
    """Of a page with a translation, section by section, what both must have alike: commands, words in code, where links lead (but
    from one language to the other), figures, items of lists, rows of tables, pictures."""
    text = page.read_text()
    headings = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    found = []
    for section in re.split(r"^(?=#+ )", re.sub(r"^```.*?^```", lambda block: block[0].replace("\n#", "\n\0#"), text,
                                               flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE)[1:]:
        prose = re.sub(r"^ *```.*?^ *```", "", section, flags=re.MULTILINE | re.DOTALL)
        links = [target for target in re.findall(r"\]\((.*?)\)", prose) if page.parent / target != other]
        links = [f"#{headings.index(target[1:])}" if target.startswith("#") else target.replace(".zh-CN", "") for target in links]
        plain = re.sub(r"`[^`]*`|\]\(.*?\)", "", prose)
        found.append({"level": len(section) - len(section.lstrip("#")),
                      "commands": re.findall(r"^ *```.*?^ *```", section, re.MULTILINE | re.DOTALL),
                      "code": sorted(re.findall(r"`([^`]+)`", prose)), "links": sorted(links),
                      "figures": sorted(re.findall(r"\d+(?:[.,]\d+)*", plain)),
                      "items": len(re.findall(r"^(?:\d+\.|\*) ", prose, re.MULTILINE)), "rows": prose.count("\n|")})
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_translation_has_the_same_sections_commands_figures_and_links(page):
    page = ROOT / page
    translation = page.with_suffix(".zh-CN.md")
    ours, theirs = sections(page, translation), sections(translation, page)

    assert len(ours) == len(theirs)
    for number, (one, other) in enumerate(zip(ours, theirs)):
        for key in one:
            assert one[key] == other[key], f"section {number} differs in its {key}"


def test_the_pictures_show_what_the_models_find_today():
    """DUET_UPDATE_PICTURES=1 ./duet test --only=e2e makes them anew."""
    shown = {path.name for path in pictures.PICTURES.glob("*.png")}
    stale = sorted(name for name, models in pictures.recorded().items() if models != pictures.models())

    assert set(pictures.recorded()) == shown
    assert not stale, f"made with other models than those of models/demo: {stale}"
    for page in [ROOT / "README.md", ROOT / "docs/label_studio.md"]:
        shown -= {pathlib.Path(target).name for target in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())}
    assert not shown, "no page has these"


def test_the_picture_of_the_first_page_is_large_and_its_file_small():
    data = (pictures.PICTURES / "labelling_page.png").read_bytes()
    width = int.from_bytes(data[16:20], "big")  # of the header, which a PNG begins with

    assert width >= 1200 and len(data) < 400_000


def test_the_table_of_settings_has_those_that_there_are():
    described = (ROOT / "docs/label_studio.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    reference = (ROOT / "docs/reference/settings.md").read_text()

    keys = [set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) for text in (described, reference)]
    assert keys[0] == keys[1] != set()


def test_messages_that_the_page_of_troubles_quotes_are_said():
    """Those of ./duet; … stands for anything."""
    page = (ROOT / "docs/troubleshooting.md").read_text().partition("\n## Starting\n")[2].partition("\n## ")[0]
    said = "".join(path.read_text() for path in sorted((ROOT / "tools/duet").glob("*.sh")))
    quoted = [message for cell in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) for message in re.findall(r"\*(.*?)\*", cell)
              if "cc1plus" not in message]

    assert len(quoted) >= 8
    assert not [message for message in quoted for part in message.split("…") if part.strip() not in said]


def test_the_first_page_leads_to_every_page():
    linked = {target.partition("#")[0] for target in re.findall(r"\]\((.*?)\)", (ROOT / "README.md").read_text())}
    pages = {str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md") if ".zh-CN" not in page.name}

    assert pages <= linked


def test_every_decision_is_in_the_index_once_and_in_order():
    folder = ROOT / "docs/adr"
    listed = re.findall(r"^\* \[(\d{4})\]\((.*?)\) \S", (folder / "README.md").read_text(), re.MULTILINE)

    assert [file for _, file in listed] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert all(file.startswith(number) for number, file in listed)


def test_the_tests_that_the_security_page_names_exist():
    page = (ROOT / "docs/security.md").read_text().replace("\\*", "*")
    sources = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*")) if path.suffix in {".cc", ".py"})
    cases = set(re.findall(r"\bTEST(?:_F|_P)?\((\w+),\s*(\w+)\)", sources))
    suites, names = {suite for suite, _ in cases}, {name for _, name in cases}

    named = re.findall(r"\b([A-Z]\w+Test)\.(\w+|\*)", page)
    assert named and not [pair for pair in named if pair not in cases and (pair[1] != "*" or pair[0] not in suites)]
    # Further ones of a suite that stands before them.
    missing = set(re.findall(r"\b(?:[A-Z][a-z]*){5,}\b", page)) - names
    assert not missing
    functions = set(re.findall(r"\bdef (test_\w+)", sources))
    assert set(re.findall(r"\btest_[a-z_]{12,}\b", page)) <= functions


def kustomizations():
    """A page's overlays of one's own on top of deploy/k8s, as pytest's parameters."""
    for page in PAGES:
        for block in re.findall(r"^ *```\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
            if "github.com/…/deploy/k8s/" in block:
                yield pytest.param(textwrap.dedent(block), id=f"{page.relative_to(ROOT)}:{block.split()[1]}")


@pytest.mark.parametrize("written", kustomizations())
def test_a_kustomization_in_a_page_can_be_made(written, tmp_path):
    """A part of one is put onto the overlay for clusters."""
    shutil.copytree(DEPLOY / "k8s", tmp_path / "k8s")
    mine = tmp_path / "k8s/overlays/mine"
    mine.mkdir()
    text = written if "resources:" in written else f"resources: [github.com/…/deploy/k8s/overlays/cpu]\n{written}"
    (mine / "kustomization.yaml").write_text(text.replace("github.com/…/deploy/k8s", "../.."))

    made = run("kubectl", "kustomize", mine)

    assert made.returncode == 0, made.stderr
    for value in re.findall(r'(?:value: "?|=)([^\s"}\],]+)', written):
        assert value in made.stdout
