"""Makes a completion script for a shell.

usage: completion.py bash|zsh <LINES
A line for each command: its name, a tab, its flags without their dashes, a tab, the words that may follow. A command of two
words ("models fetch") has its own flags and words. Names of flags with values that are known are in lines of their own: "=", the
name, a tab, the values.
"""

import re
import sys

# zsh has a variable `words` of its own. In bash --flag=value is three words, in zsh (and in bash without = in COMP_WORDBREAKS) one.
SCRIPT = """\
_duet() {
  local cur flags='' next='' flag='' before='' values=''
  cur=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '%(commands)s' -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
%(cases)s
  esac
  if ((COMP_CWORD > 2)); then
    case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
%(pairs)s
    esac
  fi
  if [[ $cur == --*=* ]]; then
    flag=${cur%%=*} before=${cur%%=*}= cur=${cur#*=}
  elif [[ $cur == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD-1]} cur=''
  elif [[ ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if [[ $flag ]]; then
    flag=${flag#--}
    case ${flag//-/_} in
%(values)s
    esac
    COMPREPLY=($(compgen -P "$before" -W "$values" -- "$cur") $(compgen -P "$before" -f -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
  elif [[ $next ]]; then
    COMPREPLY=($(compgen -W "$next" -- "$cur"))
  else
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -F _duet duet ./duet
"""
NO_VALUE = {"help", "version", "reset", "json", "failures", "plan", "all", "tensors"}


def script(shell, lines):
    rows = [line.rstrip("\n").split("\t") + [""] for line in lines if "\t" in line]
    for name, first, second, *_ in rows:
        assert re.fullmatch(r"=?[a-z_]+|[a-z-]+( [a-z-]+)?", name), name
        assert re.fullmatch(r"[A-Za-z0-9._ -]*", first) and re.fullmatch(r"[A-Za-z0-9._ -]*", second), name
    commands = sorted(row for row in rows if not row[0].startswith("="))

    def cases(of, indent):
        return "\n".join("{}{}) flags='{}' next='{}' ;;".format(
            " " * indent, f"'{name}'" if " " in name else name,
            " ".join(f"--{flag}" + ("" if flag in NO_VALUE else "=") for flag in flags.split()), words)
            for name, flags, words, *_ in of)
    text = SCRIPT % {
        "commands": " ".join(name for name, *_ in commands if " " not in name),
        "cases": cases([row for row in commands if " " not in row[0]], 4),
        "pairs": cases([row for row in commands if " " in row[0]], 6) or "      *) ;;",
        "values": "\n".join(f"      {name[1:]}) values='{values}' ;;" for name, values, *_ in rows if name.startswith("=")) or "      *) ;;"}
    return "autoload -U +X bashcompinit && bashcompinit\n" + text if shell == "zsh" else text


if __name__ == "__main__":
    print(script(sys.argv[1], sys.stdin), end="")
