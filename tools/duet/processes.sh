# shellcheck shell=bash
# Background processes that ./duet up starts and ./duet down stops.
#
# Each has a record, .duet/run/NAME: its pid, when it was born, and a signature of all that it was started with.
# A pid alone proves nothing, since pids are used again; with the time of birth it names one process.

readonly RUN_DIRECTORY=$DUET_STATE/run
readonly LOG_DIRECTORY=$DUET_STATE/logs
# Longer than the processes' own drain (--drain_timeout_s).
readonly STOP_SECONDS=60
# The kernel keeps a port for so long after the end of a connection that had it.
readonly PORT_SECONDS=60

# birth_of PID: boot and start time, in clock ticks since boot; nothing if there is no such process.
birth_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The second field is the name in brackets and may hold anything; the start time is the 20th after it.
  printf '%s-%s\n' "$(cat /proc/sys/kernel/random/boot_id)" "$(awk '{ print $20 }' <<<"${stat##*) }")"
}

# record_of NAME FIELD: pid, birth, signature or where; empty if there is no record.
record_of() { sed -n "s/^$2=//p" "$RUN_DIRECTORY/$1" 2>/dev/null || true; }

# alive PID: a zombie is not.
alive() { grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }

# running NAME: whether the recorded process is alive.
running() {
  local pid birth
  pid=$(record_of "$1" pid)
  [[ $pid ]] || return 1
  birth=$(birth_of "$pid")
  [[ $birth && $birth == "$(record_of "$1" birth)" ]] && alive "$pid"
}

# signature FILE... -- TEXT...: changes when a file is replaced or a text differs.
signature() {
  local file
  {
    while [[ $1 != -- ]]; do
      file=$1
      stat -Lc '%n %i %s %Y' "$file"
      shift
    done
    printf '%s\n' "$@"
  } | sha256sum | cut -c 1-32
}

# private_folder FOLDER...: nobody else reads what is in them.
private_folder() {
  mkdir -p "$@"
  chmod 700 "$@"
}

# launch LOG NOTE COMMAND...: in a session of its own, so that it outlives this shell, with the variables that the table
# VARIABLES holds (a command line is there for everyone to read). Sets LAUNCHED to its pid. NOTE says how it ended, once it has
# (wait_for).
launch() {
  local log=$1 note=$2 name
  shift 2
  private_folder "$LOG_DIRECTORY" "$RUN_DIRECTORY"
  rm -f "$note" "$note.pid"
  (
    umask 077
    for name in "${!VARIABLES[@]}"; do export "$name=${VARIABLES[$name]}"; done
    exec setsid "$DUET_ROOT/tools/duet/wait_for" "$note" "$@" >"$log" 2>&1 </dev/null 9>&-
  ) &
  until [[ -s $note.pid ]]; do
    alive $! || die "$1 cannot be started: $(tail -n 1 "$log")"
    sleep 0.01
  done
  LAUNCHED=$(<"$note.pid")
}

# start NAME SIGNATURE WHERE COMMAND...: launches it and records that. The log of the run before stays as NAME.log.1.
start() {
  local name=$1 signature=$2 where=$3 log=$LOG_DIRECTORY/$1.log
  shift 3
  private_folder "$RUN_DIRECTORY"
  [[ ! -s $log ]] || mv -f "$log" "$log.1"
  launch "$log" "$RUN_DIRECTORY/$name.ended" "$@"
  (umask 077 && printf 'pid=%s\nbirth=%s\nsignature=%s\nwhere=%s\n' \
    "$LAUNCHED" "$(birth_of "$LAUNCHED")" "$signature" "$where" >"$RUN_DIRECTORY/$name")
}

# ensure_running NAME [SCHEME://]HOST:PORT SIGNATURE COMMAND...: keeps a process that was started just so, replaces any
# other.
ensure_running() {
  local name=$1 where=$2 signature=$3
  shift 3
  if running "$name" && [[ $(record_of "$name" signature) == "$signature" ]]; then
    return
  fi
  local deadline=$SECONDS
  ! running "$name" || deadline=$((SECONDS + STOP_SECONDS))
  stop "$name"
  # Its children may hold the port for a moment longer.
  until port_is_free "$where" || ((SECONDS >= deadline)); do sleep 0.05; done
  require_free_port "$name" "$where"
  say "starting $name"
  start "$name" "$signature" "$where" "$@"
}

# stop NAME: asks, waits for the drain, and only then insists. Does nothing to a process that is not the recorded one.
stop() {
  local name=$1
  if running "$name"; then
    local pid deadline=$((SECONDS + STOP_SECONDS))
    pid=$(record_of "$name" pid)
    say "stopping $name"
    kill -TERM -- "-$pid" || true
    kill -CONT -- "-$pid" || true  # one that is stopped hears of nothing until it goes on
    while running "$name" && ((SECONDS < deadline)); do sleep 0.05; done
    if running "$name"; then
      warn "$name did not stop within $STOP_SECONDS s; killing it"
      kill -KILL -- "-$pid" || true
    fi
  fi
  rm -f "$RUN_DIRECTORY/$name" "$RUN_DIRECTORY/$name.ended" "$RUN_DIRECTORY/$name.ended.pid"
}

# how_it_ended NAME: of a recorded process that does not run any more.
how_it_ended() {
  local pid='' code=''
  read -r pid code 2>/dev/null <"$RUN_DIRECTORY/$1.ended" || true
  if [[ $pid != "$(record_of "$1" pid)" || ! $code ]]; then
    echo 'stopped by itself'
  elif ((code == 137)); then
    echo 'was killed by signal KILL (by somebody, or by the kernel when memory ran out)'
  elif ((code > 128)); then
    echo "was killed by signal $(kill -l $((code - 128)) 2>/dev/null || echo $((code - 128)))"
  else
    echo "stopped by itself with exit code $code"
  fi
}

# port_is_free [SCHEME://]HOST:PORT: nobody answers there.
port_is_free() {
  local where=${1##*//}
  local host=${where%:*}
  host=${host#[}  # of an IPv6 address
  ! (exec 3<>"/dev/tcp/${host%]}/${where##*:}") 2>/dev/null
}

# owner_of_port PORT: the program that listens there, with its pid; nothing if that is another user's.
owner_of_port() {
  # ss names only processes of this user's.
  local owner
  owner=$(ss -Hltnp "sport = :$1" 2>/dev/null | grep -oP -m 1 'users:\(\("\K[^"]+",pid=\d+') || true
  printf '%s\n' "${owner/\",/, }"
}

# can_bind [SCHEME://]HOST:PORT: whether a server could listen there.
can_bind() {
  local where=${1##*//}
  local host=${where%:*}
  host=${host#[}
  parse can_bind "${host%]}" "${where##*:}"
}

# require_free_port WHO [SCHEME://]HOST:PORT [BIND:PORT]: ends if somebody listens there. Ports above 32767 are also those that
# the kernel gives to outgoing connections, of any program; such a port is waited for. BIND is where it is to
# be listened, if that isn't HOST.
require_free_port() {
  local port=${2##*:} deadline=$((SECONDS + PORT_SECONDS)) owner waiting='' other
  other=$(option_of_port "$port")
  until port_is_free "$2" && can_bind "${3:-$2}"; do
    if ! port_is_free "$2"; then
      owner=$(owner_of_port "$port")
      die "$1: port $port is in use${owner:+ by $owner}. Stop that program, or choose another port: ./duet up $other=…"
    fi
    [[ $waiting ]] || say "$1: nobody listens on port $port, but a connection of some program has it; waiting until it is free," \
      "$PORT_SECONDS s at most"
    waiting=yes
    ((SECONDS < deadline)) || die "$1: a connection of some program still has port $port after $PORT_SECONDS s. Try again," \
      "or choose another port: ./duet up $other=…"
    sleep 0.2
  done
}

# option_of_port PORT: which of the options that are ports has it.
# shellcheck disable=SC2153 # options.sh has them
option_of_port() {
  local name
  for name in "${PORTS[@]}"; do
    [[ ${OPTION[$name]:-} != "$1" ]] || { printf -- '--%s\n' "$name"; return; }
  done
  echo --port
}

# holds_port PORT: whether it belongs to one of the processes that run.
holds_port() {
  local name ports
  for name in "${PROCESSES[@]}"; do
    running "$name" || continue
    ports=$(record_of "$name" where)
    ports+=" $(tr '\0' ' ' <"/proc/$(record_of "$name" pid)/cmdline")"
    [[ "$ports " != *[:=]"$1 "* ]] || return 0
  done
  return 1
}

# require_alive NAME: ends with the process's own last words if it died.
require_alive() {
  running "$1" && return
  local log=$LOG_DIRECTORY/$1.log
  die "$1 $(how_it_ended "$1"): $(last_words_in "$log"); its log is $log"
}

# require_room: what `up` keeps can be written. Flags that could not be kept would be unknown options.
require_room() {
  local why trial=$DUET_STATE/room
  why=$({ mkdir -p "$DUET_STATE" && head -c 1M /dev/zero >"$trial"; } 2>&1) ||
    { rm -f "$trial" 2>/dev/null; die "$DUET_STATE cannot be written to: ${why##*: }"; }
  rm -f "$trial"
}

# One command at a time: two ./duet up at once would start everything twice.
lock_processes() {
  mkdir -p "$DUET_STATE"
  exec 9>"$DUET_STATE/lock"
  flock --nonblock 9 && return
  say "waiting for another ./duet to finish"
  flock 9
}
