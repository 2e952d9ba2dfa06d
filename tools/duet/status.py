"""Prints what runs as one JSON object, as docs/commands.md describes it.

usage: status.py <FACTS
FACTS are name=value with a zero byte after each, as status.sh writes them. Exits with 1 if a process of Duet does not run.
"""

import json
import sys

from failures import last_failure

OWN = "duet-"


def json_of(text):
    """The object in `text`, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def options_of(arguments, secrets):
    """What a process was told: the flags of its command line, and of its environment only that they were given."""
    told = dict(argument[2:].partition("=")[::2] for argument in arguments.splitlines() if argument.startswith("--"))
    return {**{name: value or "true" for name, value in told.items()}, **{name: "(kept)" for name in secrets.split()}}


def process(name, facts):
    """Of one process, what is known of it."""
    of = {key.removeprefix(f"{name}."): value for key, value in facts.items() if key.startswith(f"{name}.")}
    about = {"name": name, "state": of["state"]}
    if of["state"] == "stopped":
        return about
    about |= {"pid": int(of["pid"]), "address": of["where"], "log": of["log"],
              "last_error": last_failure(of["log"])}
    if of["state"] == "ended":
        return about | {"ended": of["ended"]}
    about["ready"] = of["ready"] == "yes"
    if name.startswith(OWN):
        about["options"] = options_of(of["arguments"], of["secrets"])
    if "metrics" in of:
        about["metrics"] = of["metrics"]
    if "version" in of:
        about["model"] = {key: of[key] for key in ("name", "version", "checkpoint", "device", "precision")}
    if "user" in of:
        about |= {"user": of["user"], "password_file": of["password_file"]}
    return about


def status(facts):
    processes = [process(name, facts) for name in facts["processes"].split()]
    answer = json_of(facts.get("gateway.answer", ""))
    return {"running": all(each["state"] == "running" for each in processes),
            "url": facts["gateway.url"],
            "processes": processes,
            "gateway": answer,
            "label_studio": {"url": facts["label_studio.url"], "token": facts["label_studio.token"]}
            if facts.get("label_studio.url") else None}


if __name__ == "__main__":
    records = sys.stdin.buffer.read().decode(errors="replace").split("\0")
    found = status(dict(record.split("=", 1) for record in records if "=" in record))
    print(json.dumps(found, ensure_ascii=False))
    sys.exit(0 if found["running"] else 1)
