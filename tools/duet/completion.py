"""Makes a completion script for a shell.

usage: completion.py bash|zsh <LINES
A line for each command: its name, a tab, its flags without their dashes, a tab, the words that may follow. A command of two
words ("models fetch") has its own flags and words. Names of flags with values that are known are in lines of their own: "=", the
name, a tab, the values.
"""

import re
import sys

# What may stand at the cursor, as both shells find it: `choices`, and `files` if those may, too; of --flag=value the flag is `before`.
# bash makes three words of --flag=value, zsh (and bash without = in COMP_WORDBREAKS) one.
CHOICES = """\
_duet_choices() {
  local flags='' next='' flag=''
  choices='' files='' before=''
  cur=${COMP_WORDS[COMP_CWORD]}
  if ((COMP_CWORD == 1)); then
    choices='%(commands)s'
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
    flag=${cur%%%%=*} before=${cur%%%%=*}= cur=${cur#*=}
  elif [[ $cur == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD-1]} cur=''
  elif [[ ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
    flag=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if [[ $flag ]]; then
    flag=${flag#--} files=yes
    case ${flag//-/_} in
%(values)s
    esac
  elif [[ $cur == -* ]]; then
    choices=$flags
  elif [[ $next ]]; then
    choices=$next
  else
    files=yes
  fi
}
"""
# A file's name may have spaces. No space follows a folder, or a flag that takes a value.
BASH = """\
_duet() {
  local cur choices files before file
  _duet_choices
  COMPREPLY=($(compgen -P "$before" -W "$choices" -- "$cur"))
  if [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r file; do COMPREPLY+=("$before$file"); done < <(compgen -f -- "$cur")
  fi
  [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
}
complete -F _duet duet ./duet
"""
# A zsh without a ~/.zshrc has no completion yet. As sh it counts an array's elements from 0, as bash does.
ZSH = """\
_duet() {
  local cur choices files before COMP_CWORD=$((CURRENT - 1))
  local -a COMP_WORDS=("${words[@]}")
  () { emulate -L sh; _duet_choices; }
  [[ -z $before ]] || compset -P '*='
  compadd -S '' -- ${(M)${=choices}:#*=}
  compadd -- ${${=choices}:#*=}
  [[ -z $files ]] || _files
}
(($+functions[compdef])) || { autoload -U compinit && compinit -i; }
compdef _duet duet ./duet
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
    text = CHOICES % {
        "commands": " ".join(name for name, *_ in commands if " " not in name),
        "cases": cases([row for row in commands if " " not in row[0]], 4),
        "pairs": cases([row for row in commands if " " in row[0]], 6) or "      *) ;;",
        "values": "\n".join(f"      {name[1:]}) choices='{values}' ;;" for name, values, *_ in rows if name.startswith("=")) or "      *) ;;"}
    return text + {"bash": BASH, "zsh": ZSH}[shell]


if __name__ == "__main__":
    print(script(sys.argv[1], sys.stdin), end="")
