"""Counts the tests of a JUnit report, as ctest and pytest write them.

usage: junit.py REPORT
Prints "PASSED FAILED SKIPPED", failed ones including errors. All are 0 if there is no report or it can't be read.
"""

import sys
import xml.etree.ElementTree


def counts(report):
    """(passed, failed, skipped) of a report's file."""
    try:
        root = xml.etree.ElementTree.parse(report).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return 0, 0, 0

    def total(*attributes):
        return sum(int(suite.get(attribute, 0)) for suite in root.iter("testsuite") for attribute in attributes)

    failed, skipped = total("failures", "errors"), total("skipped")
    return total("tests") - failed - skipped, failed, skipped


if __name__ == "__main__":
    print(*counts(sys.argv[1]))
