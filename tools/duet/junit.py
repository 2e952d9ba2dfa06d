"""Counts the tests of a JUnit report, as ctest and pytest write them.

usage: junit.py REPORT
Prints "PASSED FAILED SKIPPED", failed ones including errors. All are 0 if there is no report or it can't be read.

usage: junit.py --passed REPORT
Prints the names of those that passed, a line each.
"""

import sys
import xml.etree.ElementTree


def root_of(report):
    """None if there is no report or it can't be read."""
    try:
        return xml.etree.ElementTree.parse(report).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None


def counts(report):
    """(passed, failed, skipped) of a report's file."""
    root = root_of(report)
    if root is None:
        return 0, 0, 0

    def total(*attributes):
        return sum(int(suite.get(attribute, 0)) for suite in root.iter("testsuite") for attribute in attributes)

    failed, skipped = total("failures", "errors"), total("skipped")
    return total("tests") - failed - skipped, failed, skipped


def passed(report):
    """Names of tests that neither failed nor were skipped."""
    root = root_of(report)
    for case in () if root is None else root.iter("testcase"):
        if all(case.find(outcome) is None for outcome in ("failure", "error", "skipped")):
            yield ".".join(filter(None, dict.fromkeys((case.get("classname"), case.get("name")))))


if __name__ == "__main__":
    *option, path = sys.argv[1:]
    if option:
        for name in passed(path):
            print(name)
    else:
        print(*counts(path))
