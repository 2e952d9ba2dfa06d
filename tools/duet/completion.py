"""Makes a completion script for a shell.

usage: completion.py bash|zsh <COMMANDS
COMMANDS has a line for each command: its name, a tab, its flags without their dashes, separated by spaces.
"""

import re
import sys

SCRIPT = """\
_duet() {
  local cur flags=''
  cur=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '%(commands)s' -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
%(cases)s
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
  else
    [[ $cur != = ]] || cur=''
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -F _duet duet ./duet
"""
NO_VALUE = {"help", "reset", "json", "failures", "plan"}


def script(shell, lines):
    commands = dict(line.rstrip("\n").partition("\t")[::2] for line in lines if "\t" in line)
    for name, flags in commands.items():
        assert re.fullmatch(r"[a-z-]+", name) and re.fullmatch(r"[a-z0-9_ -]*", flags), name
    cases = "\n".join("    {}) flags='{}' ;;".format(
        name, " ".join(f"--{flag}" + ("" if flag in NO_VALUE else "=") for flag in flags.split()))
        for name, flags in sorted(commands.items()))
    text = SCRIPT % {"commands": " ".join(sorted(commands)), "cases": cases}
    return "autoload -U +X bashcompinit && bashcompinit\n" + text if shell == "zsh" else text


if __name__ == "__main__":
    print(script(sys.argv[1], sys.stdin), end="")
