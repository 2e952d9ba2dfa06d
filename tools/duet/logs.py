"""Shows logs of JSON lines (serving/log.h) for people.

usage: logs.py DIRECTORY [NAME...] [-f] [--failures] [--lines=100] [--json]
NAME stands for DIRECTORY/duet-NAME.log or DIRECTORY/NAME.log.
"""

import heapq
import json
import os
import sys
import time

from failures import Failures, fields_of
from nearest_name import did_you_mean

OWN = ["gateway", "detector", "segmenter", "trainer"]
LEVELS = {"debug": "2", "info": "", "warning": "33", "error": "31"}
# In the line's beginning, or said by it.
SHOWN_APART = {"ts", "level", "event", "error", "warning"}
LOOK_EVERY_S = 0.2


class Misuse(str):
    """A sentence on what was asked wrongly."""


class Log:
    """One file, which may be begun anew under its name."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self.file, self.rest = None, b""

    def read(self):
        """The whole lines that have come since the last time."""
        lines = []
        if self.file is None or self._is_another():
            if self.file is not None:
                lines += self._read_on()
                self.file.close()
            try:
                self.file, self.rest = open(self.path, "rb"), b""  # noqa: SIM115 (it is read again and again)
            except OSError:
                self.file = None
        return lines + self._read_on()

    def _is_another(self):
        try:
            now, known = os.stat(self.path), os.fstat(self.file.fileno())
        except OSError:
            return False
        return (now.st_ino, now.st_dev) != (known.st_ino, known.st_dev) or now.st_size < self.file.tell()

    def _read_on(self):
        if self.file is None:
            return []
        *lines, self.rest = (self.rest + self.file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines if line]


def readable(name, line, coloured):
    fields = fields_of(line)
    if not fields:
        return f"{'':<12} {name:<9} {plain(line)}"
    level = str(fields.get("level", ""))
    rest = " ".join(f"{key}={value}" for key, value in fields.items() if key not in SHOWN_APART and value != "")
    said = fields.get("error") or fields.get("warning") or ""
    text = plain(f"{str(fields.get('ts', ''))[11:23]:<12} {name:<9} {level:<7} {fields.get('event', '')}"
                 + (f": {said}" if said else "") + (f" ({rest})" if rest and said else f" {rest}" if rest else ""))
    colour = LEVELS.get(level, "")
    return f"\033[{colour}m{text}\033[0m" if coloured and colour else text


def plain(text):
    """Without what would steer a terminal: others may have said it."""
    return "".join(one if one.isprintable() else " " for one in text)


def is_coloured():
    """Whether somebody looks who wants colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def in_order(logs):
    """What has come, (name, line), by time. A line without one belongs to the line before it."""
    def dated(log):
        when = ""
        for number, line in enumerate(log.read()):
            when = str(fields_of(line).get("ts", when))
            yield when, log.name, number, line
    return [(name, line) for _, name, _, line in heapq.merge(*map(dated, logs))]


def main(arguments):
    directory, *rest = arguments
    names = [argument for argument in rest if not argument.startswith("-")]
    flags = {argument for argument in rest if argument.startswith("-")}
    lines = "100"
    for flag in sorted(flags):
        if flag.startswith("--lines="):
            lines = flag.removeprefix("--lines=")
            flags.discard(flag)
    if unknown := flags - {"-f", "--failures", "--json"}:
        wrong = min(unknown)
        return Misuse(f"unknown argument '{wrong}'; ./duet logs --help{did_you_mean(wrong, ['--lines=N', '--failures', '--json', '--help'])}")
    if not lines.isdigit():
        return Misuse(f"--lines={lines} is no number of lines")
    logs = []
    for name in names or OWN:
        name = name.removeprefix("duet-")
        path = next((path for path in (f"{directory}/duet-{name}.log", f"{directory}/{name}.log") if os.path.exists(path)), None)
        if path:
            logs.append(Log(name, path))
        elif names:
            return f"there is no log of '{name}' in {directory}; there are those of processes that ./duet up has started"
    if not logs:
        return f"there are no logs in {directory}; ./duet up starts what writes them"
    show(logs, flags, int(lines))
    return 0


def show(logs, flags, count):
    coloured = is_coloured()
    failures, as_json = "--failures" in flags, "--json" in flags

    chosen = Failures()

    def wanted(pairs):
        return chosen.among(pairs) if failures else pairs

    def write(pairs):
        for name, line in pairs:
            print(line if as_json else readable(name, line, coloured), flush=True)

    write(wanted(in_order(logs))[-count:] if count else wanted(in_order(logs)))
    while "-f" in flags:
        time.sleep(LOOK_EVERY_S)
        write(wanted(in_order(logs)))


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except (KeyboardInterrupt, BrokenPipeError):
        sys.stderr.close()  # nothing more is to be said
        os._exit(0)
    if code:
        print(f"duet: {code}", file=sys.stderr)
    sys.exit(2 if isinstance(code, Misuse) else 1 if code else 0)
