#!/usr/bin/env python3
"""Tests the tests: changes one line at a time and expects that a test notices.

usage: mutate.py [--only=REGEX] [--workers=N] [--report=FILE]
       mutate.py --check [--build=DIRECTORY]

tests/mutations.toml holds the mutations: a file, a text that occurs in it once, what to write instead, and the ctest
names of the tests that should notice. Each is built in a copy of this tree (of the files that Git knows) below
build/mutants/, where exactly these tests run. The mutation is killed if one of them fails twice; it survives if all
pass. One that does not compile, or whose tests cannot run, is an error in the list. A row may say in `why` how it can
survive. The exit status is 1 if there is an error, a survivor without `why`, or if fewer than 95 % are killed. The
report is a JUnit file: the killed have passed, survivors with `why` are skipped.

--check only looks whether the list still fits the sources: every text occurs once, every room of
tools/check_layering.py has a mutation and, with --build, every test exists in that build folder. The lint tier does
this.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import re
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree

sys.dont_write_bytecode = True
import check_layering

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIST = "tests/mutations.toml"
NEEDED_PERCENT = 95
# Of one test. A mutation may make an endless loop; that is noticed too.
TEST_TIMEOUT_S = 120


class ListError(Exception):
    """A row says something that isn't so."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str = ""

    def __str__(self):
        return f"{self.file}: {self.old.strip()} → {self.new.strip()}"

    @property
    def room(self):
        return check_layering.room(self.file)


@dataclasses.dataclass(frozen=True)
class Verdict:
    mutation: Mutation
    name: str  # killed, survives, or what is wrong with the row
    tests: tuple[str, ...] = ()  # those that noticed
    seconds: float = 0

    @property
    def killed(self):
        return self.name == "killed"

    @property
    def explained(self):
        return self.name == "survives" and self.mutation.why != ""

    def __str__(self):
        return f"{self.name}: {self.mutation}" + (f" ({self.mutation.why})" if self.mutation.why else "")


def read_list():
    rows = tomllib.loads((ROOT / LIST).read_text())["mutation"]
    return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def problems(mutations):
    """What keeps the list from fitting the sources, a sentence each."""
    for mutation in mutations:
        path = ROOT / mutation.file
        if not path.exists():
            yield f"{mutation.file} is gone; its mutations belong to where the code is now"
            continue
        if (count := path.read_text().count(mutation.old)) != 1:
            yield f"{mutation.file}: '{mutation.old}' occurs {count} times; it must occur once"
        if mutation.old == mutation.new or "\n" in mutation.old + mutation.new:
            yield f"{mutation}: a mutation changes one line"
        if not mutation.tests:
            yield f"{mutation}: no tests are named"
    for row, count in collections.Counter((m.file, m.old, m.new) for m in mutations).items():
        if count > 1:
            yield f"{row[0]}: '{row[1]}' → '{row[2]}' is there {count} times"
    for room in sorted(check_layering.MAY_USE.keys() - {mutation.room for mutation in mutations}):
        yield f"room {room} has no mutation"


def tests_of(build):
    """The ctest names of a build folder."""
    listed = subprocess.run(["ctest", "--test-dir", build, "--show-only"], check=True, capture_output=True, text=True)
    return set(re.findall(r"^ *Test +#\d+: (\S+)$", listed.stdout, re.M))


def unknown_tests(mutations, known):
    for mutation in mutations:
        for test in mutation.tests:
            if test not in known:
                yield f"{mutation}: there is no test {test}"


class Tree:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, number, commit):
        self.path = ROOT / "build/mutants" / str(number)
        self.build = self.path / "build/release"
        self.log = open(self.path.with_suffix(".log"), "w")
        if not (self.path / ".git").exists():
            subprocess.run(["git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, self.path], check=True)
        self.checked("git", "checkout", "--quiet", "--force", "--detach", commit)
        if not (self.path / ".duet").exists():  # redis-server, for one
            (self.path / ".duet").symlink_to(ROOT / ".duet")
        self.checked("cmake", "--preset", "release", "-DDUET_BUILD_TESTS=ON", "--log-level=WARNING")
        listed = subprocess.run(["ninja", "-C", self.build, "-t", "targets", "all"], check=True, capture_output=True,
                                text=True)
        self.targets = {line.split(":")[0] for line in listed.stdout.splitlines()}

    def run(self, *command):
        self.log.flush()
        return subprocess.run(command, cwd=self.path, stdout=self.log, stderr=self.log).returncode

    def checked(self, *command):
        if self.run(*command) != 0:
            raise SystemExit(f"{' '.join(map(str, command))} failed; see {self.log.name}")

    def make(self, tests):
        """Builds what these tests run: a target of the test's name, or the program at its end: contract.help.PROGRAM or
        contract.help.PROGRAM-COMMAND."""
        targets = set()
        for test in tests:
            program = test.split(".")[-1]
            names = (test.replace(".", "_"), program, program.rpartition("-")[0])
            targets |= set([name for name in names if name in self.targets][:1])
        return not targets or \
            self.run("cmake", "--build", self.build, "--parallel", "1", "--target", *sorted(targets)) == 0

    def failing(self, tests):
        """Those of `tests` that fail, twice in a row. All of them must run."""
        report = self.path / "build/report.xml"
        report.unlink(missing_ok=True)
        exactly = "^(" + "|".join(re.escape(test) for test in tests) + ")$"
        self.run("ctest", "--test-dir", self.build, "-R", exactly, "--no-tests=error", "--output-on-failure", "--timeout",
                 str(TEST_TIMEOUT_S), "--repeat", "until-pass:2", "--output-junit", report)
        status = {case.get("name"): case.get("status")
                  for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase")}
        if odd := [test for test in tests if status.get(test) not in {"run", "fail"}]:
            raise ListError(f"{', '.join(odd)} did not run")
        return tuple(test for test in tests if status[test] == "fail")

    def judge(self, mutation):
        path = self.path / mutation.file
        text = path.read_text()
        began = time.monotonic()
        self.log.write(f"\n==== {mutation}\n")
        try:
            if text.count(mutation.old) != 1:
                raise ListError(f"its text is not in {mutation.file} as Git knows it")
            path.write_text(text.replace(mutation.old, mutation.new))
            if not self.make(mutation.tests):
                raise ListError("does not compile")
            noticed = self.failing(mutation.tests)
            return Verdict(mutation, "killed" if noticed else "survives", noticed, time.monotonic() - began)
        except ListError as error:
            return Verdict(mutation, str(error))
        finally:
            path.write_text(text)


def commit_of_tree():
    """A commit of the files that Git knows, as they are now. Leaves them and the branches alone."""
    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    return git("stash", "create") or git("rev-parse", "HEAD")


def prepare(number, commit, mutations):
    """A tree in which all tests of the list pass."""
    print(f"building copy {number} and its tests", flush=True)
    tree = Tree(number, commit)
    if found := list(unknown_tests(mutations, tests_of(tree.build))):
        raise SystemExit("\n".join(f"{LIST}: {problem}" for problem in found))
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    if not tree.make(tests):
        raise SystemExit(f"the unchanged tree does not compile; see {tree.log.name}")
    try:
        failing = tree.failing(tests)
    except ListError as error:
        raise SystemExit(f"in the unchanged tree {error}; see {tree.log.name}") from None
    if failing:
        raise SystemExit(f"{', '.join(failing)} fail in the unchanged tree; see {tree.log.name}")
    return tree


def run(mutations, workers):
    """The verdict of each, in the order of the list."""
    (ROOT / "build/mutants").mkdir(parents=True, exist_ok=True)
    commit = commit_of_tree()
    trees = queue.Queue()
    for number in range(workers):
        trees.put(prepare(number, commit, mutations))

    def judge(mutation):
        tree = trees.get()
        try:
            verdict = tree.judge(mutation)
        finally:
            trees.put(tree)
        print(f"{verdict.name:9} {verdict.seconds:4.0f} s  {mutation}  {', '.join(verdict.tests)}", flush=True)
        return verdict

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(judge, mutations))


def summary(verdicts):
    """Prints a line a room and one for each that wasn't killed. True if the tests have teeth enough."""
    count_of = collections.Counter(verdict.mutation.room for verdict in verdicts)
    killed_of = collections.Counter(verdict.mutation.room for verdict in verdicts if verdict.killed)
    for room, count in count_of.items():
        print(f"{room:32} {killed_of[room]:3} of {count} killed")
    for verdict in verdicts:
        if not verdict.killed:
            print(verdict)
    killed = killed_of.total()
    print(f"{killed} of {len(verdicts)} killed")
    return all(verdict.killed or verdict.explained for verdict in verdicts) and \
        100 * killed >= NEEDED_PERCENT * len(verdicts)


def write_report(verdicts, path):
    skipped = sum(verdict.explained for verdict in verdicts)
    failures = sum(not verdict.killed and not verdict.explained for verdict in verdicts)
    suite = xml.etree.ElementTree.Element("testsuite", name="mutants", tests=str(len(verdicts)),
                                          failures=str(failures), skipped=str(skipped))
    for verdict in verdicts:
        case = xml.etree.ElementTree.SubElement(suite, "testcase", classname=verdict.mutation.room,
                                                name=str(verdict.mutation), time=f"{verdict.seconds:.0f}")
        if not verdict.killed:
            xml.etree.ElementTree.SubElement(case, "skipped" if verdict.explained else "failure", message=verdict.name)
    xml.etree.ElementTree.ElementTree(suite).write(path, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--build", help="with --check: the build folder whose tests are meant")
    parser.add_argument("--only", default="", help="mutations whose text, as it is printed, matches")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--report", help="where the JUnit file goes")
    arguments = parser.parse_args()
    mutations = read_list()
    found = list(problems(mutations))
    if arguments.build:
        found += unknown_tests(mutations, tests_of(arguments.build))
    if found:
        raise SystemExit("\n".join(f"{LIST}: {problem}" for problem in found))
    if arguments.check:
        print(f"{len(mutations)} mutations fit")
        return
    mutations = [mutation for mutation in mutations if re.search(arguments.only, str(mutation))]
    verdicts = run(mutations, arguments.workers)
    if arguments.report:
        write_report(verdicts, arguments.report)
    if not summary(verdicts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
