# shellcheck shell=bash
# ./duet doctor: what `up` was told and what runs, as facts for doctor.py, which looks whether all is well.

help_doctor() {
  cat <<'TEXT'
usage: ./duet doctor [--json]

Looks whether this machine, Duet's processes and Label Studio are as they have to be, and says how to mend what is not:
CPU, BLAS, threads, memory, disk, ports, the services with their versions, what failed lately, Label Studio's address,
version, token and switches, its projects, and one task, asked for as Label Studio asks.

  --json    a line of JSON for each check: {"check", "state", "found", "mend"}; state is ok, warning or mend

Exit code 0: nothing has to be mended, though there may be warnings; 1: something has to be; 2: asked wrongly.
Example: ./duet doctor
TEXT
}

cmd_doctor() {
  local format=()
  ! asks_for_json './duet doctor --help' "$@" || format=(--json)
  resolve_options
  facts_for_doctor | parse doctor "${format[@]}"
}

# fact NAME VALUE: what holds no zero byte.
fact() { printf '%s=%s\0' "$1" "$2"; }

facts_for_doctor() {
  local name
  fact state "$DUET_STATE"
  fact logs "$LOG_DIRECTORY"
  for name in detector segmenter; do
    fact "$name.checkpoint" "${OPTION[${name}_checkpoint]}"
    fact "$name.threads" "${OPTION[${name}_threads]:-${OPTION[threads]:-0}}"
    fact "$name.precision" "${OPTION[${name}_precision]:-${OPTION[precision]:-fp32}}"
  done
  facts_of_ports
  facts_of_processes
  fact gateway.url "$(gateway_url)"
  fact gateway.curl "$(gateway_settings)"
  fact gateway.bind "${OPTION[bind]}"
  facts_of_label_studio
}

# Whom each port belongs to: port.NAME is "PORT ours", "PORT free" or "PORT held PROGRAM".
facts_of_ports() {
  local name port
  for name in "${PORTS[@]}"; do
    port=${OPTION[$name]}
    ! is_port_of_nobody "$name" || continue
    if holds_port "$port"; then
      fact "port.$name" "$port ours"
    elif port_is_free "$(reachable "$(bind_of "$name")" "$port")"; then
      if can_bind "$(bind_of "$name"):$port"; then fact "port.$name" "$port free"; else fact "port.$name" "$port held an outgoing connection"; fi
    else
      fact "port.$name" "$port held $(owner_of_port "$port")"
    fi
  done
}

# process.NAME: "running", "never" or "ended WORDS".
facts_of_processes() {
  local name
  for name in "${PROCESSES[@]}"; do
    if running "$name"; then
      fact "process.$name" running
    elif [[ $(record_of "$name" pid) ]]; then
      fact "process.$name" "ended $(how_it_ended "$name"): $(last_words_in "$LOG_DIRECTORY/$name.log")"
    else
      fact "process.$name" never
    fi
  done
}

# Of the gateway that runs, else what `up` would give it.
facts_of_label_studio() {
  if running duet-gateway; then
    fact label_studio.url "$(flag_of duet-gateway label_studio_url)"
    fact label_studio.token "$(secret_of duet-gateway label_studio_api_key)"
    fact label_studio.ca "$(flag_of duet-gateway ca_certificates)"
  else
    fact label_studio.url "${OPTION[label_studio_url]:-}"
    fact label_studio.token "$(label_studio_key)"
    fact label_studio.ca "${OPTION[ca_certificates]:-}"
  fi
}
