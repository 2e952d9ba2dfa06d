"""What of a log counts as a failure: for ./duet logs --failures, and for what ./duet status says went wrong last.

usage: failures.py LOG
Prints time, event and sentence of the last failure in a log. Prints nothing if it has none or doesn't exist.
"""

import json
import re
import sys

# A line that isn't JSON (serving/log.h) is a crash's, or Label Studio's, which begin with the time in brackets and have levels in
# brackets; a traceback follows without.
FAILED_TEXT = re.compile(r"rror|raceback")
HARMLESS_TEXT = re.compile(r"\[(INFO|DEBUG)\]")
BEGINS_MESSAGE = re.compile(r"\[\d")
# What Label Studio says, and traces, when ./duet doctor asks for a project that can't be.
DOCTOR_ASKED = 'Invalid pk "0"'
# Only lines with one of these have to be looked at.
WORTH_READING = (b'"warning"', b'"error"', b'"backend.found"', b'"serving"', b'"startup.failed"')


def fields_of(line):
    """The fields of a line, or none if it is not JSON."""
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def says_failure(fields, line, message):
    """`message`: the line that began the message to which a line without fields belongs."""
    if not fields:
        return bool(FAILED_TEXT.search(line)) and not HARMLESS_TEXT.search(line) and DOCTOR_ASKED not in message
    return fields.get("level") in ("warning", "error") or fields.get("event") == "startup.failed"


class Failures:
    """Chooses the failures among the lines of logs, which may come in portions.

    The gateway is up before its services have loaded their models, so at each start it says that they are away. That is no
    failure of a service that it finds afterwards.
    """

    def __init__(self):
        self.found = set()  # (log, service, its addresses), since the gateway's start
        self.messages = {}  # of a log's latest text: its first line

    def among(self, pairs):
        """Of these (name of the log, line) the failures, in the same order."""
        kept, awaited = [], {}  # awaited: where in `kept` a service is away that was not found yet
        for name, line in pairs:
            fields = fields_of(line)
            if not fields and (name not in self.messages or BEGINS_MESSAGE.match(line)):
                self.messages[name] = line
            event, service = fields.get("event"), (name, fields.get("service"), fields.get("targets"))
            if event == "serving":
                self.found = {other for other in self.found if other[0] != name}
            elif event == "backend.found":
                self.found.add(service)
                for at in awaited.pop(service, ()):
                    kept[at] = None
            elif says_failure(fields, line, self.messages.get(name, line)):
                if event == "backend.away" and service not in self.found:
                    awaited.setdefault(service, []).append(len(kept))
                kept.append((name, line))
        return [pair for pair in kept if pair]


def last_failure(log):
    """{"ts", "event", "error"} of the last one in this file, or None."""
    try:
        with open(log, "rb") as file:
            lines = [line.decode(errors="replace").rstrip("\n") for line in file
                     if not line.startswith(b"{") or any(text in line for text in WORTH_READING)]
    except OSError:
        return None
    found = Failures().among(("", line) for line in lines)
    if not found:
        return None
    line = found[-1][1]
    fields = fields_of(line)
    sentence = fields.get("error") or fields.get("warning") or ("" if fields else line)
    return {"ts": str(fields.get("ts", "")), "event": str(fields.get("event", "")), "error": str(sentence)}


if __name__ == "__main__":
    from logs import plain
    failure = last_failure(sys.argv[1])
    if failure:
        print(plain(" ".join(filter(None, failure.values()))))
