# shellcheck shell=bash
# Official weights: models/models.tsv says where they are, this brings them to models/official/.

readonly MODELS_TABLE=models/models.tsv
readonly MODELS_DIRECTORY=models/official
# Attempts in a row that may bring not a single byte before a download counts as failed.
readonly FETCH_IDLE_ATTEMPTS=3

help_models() {
  cat <<TEXT
usage: ./duet models list [--json]
       ./duet models fetch NAME... [--base_url=URL] [--dir=DIRECTORY] [--table=FILE]
       ./duet models inspect FILE
       ./duet models list --model_root=DIRECTORY
       ./duet models rollback NAME [VERSION] --model_root=DIRECTORY
       ./duet models delete NAME VERSION --model_root=DIRECTORY

The last three are for models that Duet has trained (docs/label_studio.md).

Fetches official weights to $MODELS_DIRECTORY. An interrupted download goes on where it stopped. A file whose
published name carries the start of its SHA-256 is checked against that before it gets its name.
  --base_url=URL    a mirror: a URL below which the files lie side by side, under their published names
  --dir=DIRECTORY   where to put them
  --table=FILE      another list, of the same form as $MODELS_TABLE
  --json            the list as JSON, one object a line

./duet up --detector_checkpoint=NAME fetches, too. Exit code 0; 1: it could not be done; 2: asked wrongly.
Example: ./duet models fetch rtmdet-m sam-vit-b
TEXT
}

cmd_models() {
  # Trained ones are the business of another program.
  [[ ${1:-} != @(rollback|delete|inspect) && " ${*:2}" != *" --model_root"* ]] || pass_on models "$@"
  if wants_help '' "$@"; then
    help_models
    return
  fi
  case ${1:-} in
    list) models_list "${@:2}" ;;
    fetch) models_fetch "${@:2}" ;;
    '') help_models ;;
    *) refuse "unknown command 'models $1'; ./duet models shows the usage$(words_after models | did_you_mean "$1")" ;;
  esac
}

models_list() {
  local format=()
  ! asks_for_json './duet models shows the usage' "$@" || format=(--json)
  parse models "${format[@]}" "$MODELS_TABLE" "$MODELS_DIRECTORY"
}

# kind_of_model NAME: "boxes", "segmenter", …; nothing if the table has no such model.
kind_of_model() { awk -F '\t' -v name="$1" 'NR > 1 && $1 == name { print $5 }' "$MODELS_TABLE"; }

# fetch_named_models: `up` takes a model's name for a checkpoint, too, unless there is a file of that name.
fetch_named_models() {
  local option value kind url
  for option in detector_checkpoint segmenter_checkpoint trainer_checkpoint trainer_segmenter_checkpoint; do
    value=${OPTION[$option]:-}
    [[ $value && $value != */* && ! -e $CALLER_DIRECTORY/$value ]] || continue
    kind=$(kind_of_model "$value")
    [[ $kind ]] || continue
    case $option:$kind in
      *segmenter_checkpoint:segmenter) ;;
      *segmenter_checkpoint:*) refuse "$(called "$option")=$value: a detector; ./duet models list says which is what" ;;
      *:segmenter) refuse "$(called "$option")=$value: a segmenter; ./duet models list says which is what" ;;
    esac
    models_fetch "$value"
    url=$(awk -F '\t' -v name="$value" 'NR > 1 && $1 == name { print $3 }' "$MODELS_TABLE")
    tell_option "$option" "$DUET_ROOT/$MODELS_DIRECTORY/${url##*/}" "${ORIGIN[$option]}"
  done
}

models_fetch() {
  local names=() base_url='' directory=$MODELS_DIRECTORY table=$MODELS_TABLE
  while (($#)); do
    case $1 in
      --base_url=*) base_url=${1#*=} ;;
      --dir=*) directory=${1#*=} ;;
      --table=*) table=${1#*=} ;;
      -*) refuse "unknown argument '$1'; ./duet models shows the usage$(did_you_mean "${1%%=*}" <<<'--base_url --dir --table')" ;;
      *) names+=("$1") ;;
    esac
    shift
  done
  ((${#names[@]})) || refuse "which model? ./duet models list names them"
  local name row url prefix
  for name in "${names[@]}"; do
    row=$(awk -F '\t' -v name="$name" 'NR > 1 && $1 == name' "$table")
    [[ $row ]] || refuse "$table has no model '$name'; ./duet models list names them$(names_of_models . | did_you_mean "$name")"
    url=$(cut -f 3 <<<"$row")
    prefix=$(cut -f 4 <<<"$row")
    [[ -z $base_url ]] || url=${base_url%/}/${url##*/}
    fetch_file "$url" "$directory/${url##*/}" "$prefix"
  done
}

# fetch_file URL FILE SHA256-PREFIX: FILE appears complete and verified, or not at all.
fetch_file() {
  local url=$1 file=$2 prefix=$3
  if [[ -f $file ]] && has_sha256_prefix "$file" "$prefix"; then
    say "$file: already here"
    return
  fi
  make_writable "$(dirname "$file")"
  command -v curl >/dev/null || install_packages curl ca-certificates
  say "$file: fetching $url"
  local resumed=false reason=''
  [[ -s $file.part ]] && resumed=true
  download_verified "$url" "$file.part" "$prefix" ||
    { $resumed && download_verified "$url" "$file.part" "$prefix"; } ||
    die "$file was not fetched: $reason"
  [[ $prefix ]] || warn "$file: its publisher names no checksum; this file's SHA-256 is $(sha256_of "$file.part")"
  mv -f "$file.part" "$file"
  say "$file: done"
}

make_writable() {
  { mkdir -p "$1" 2>/dev/null && [[ -w $1 ]]; } ||
    die "$1 cannot be written to: is a volume mounted there, and does it belong to uid $EUID or its groups?"
}

# download_verified URL FILE SHA256-PREFIX: a FILE with another checksum is deleted, so that the next attempt starts
# afresh (what was resumed may have been the beginning of another file). Says why not in the caller's `reason`.
download_verified() {
  local url=$1 file=$2 prefix=$3
  if ! download "$url" "$file"; then
    reason="$url could not be fetched; the same command goes on where this one stopped, and ./duet models fetch NAME --base_url=URL"
    reason+=" reads from a mirror"
    return 1
  fi
  if ! has_sha256_prefix "$file" "$prefix"; then
    reason="$url gave a file with SHA-256 $(sha256_of "$file"), but it must start with $prefix; deleted it"
    rm -f "$file"
    return 1
  fi
}

# download URL FILE: appends to what FILE holds already, and goes on after a broken connection for as long as
# attempts bring bytes.
download() {
  local url=$1 file=$2 idle=0 before after status
  local progress=(--silent --show-error)
  [[ -t 2 ]] && progress=(--progress-bar)
  while ((idle < FETCH_IDLE_ATTEMPTS)); do
    before=$(size_of "$file")
    status=0
    curl --fail --location "${progress[@]}" --connect-timeout 20 --speed-limit 1 --speed-time 60 \
      --continue-at - --output "$file" "$url" || status=$?
    ((status)) || return 0
    after=$(size_of "$file")
    case $status in
      22) return 1 ;;         # 404 and the like
      33) rm -f "$file" ;;    # the server knows no ranges: begin again
    esac
    if ((after > before)); then idle=0; else idle=$((idle + 1)); fi
    sleep "$idle"
  done
  return 1
}

size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

has_sha256_prefix() { [[ $(sha256_of "$1") == "$2"* ]]; }
