# shellcheck shell=bash
# ./duet test: every tier, the fast ones first. A part that fails does not stop those after it.

readonly TEST_RESULTS=build/test-results
readonly TEST_PARTS=(scripts unit tiers deploy e2e)
readonly MORE_TEST_PARTS=(scale collector asan tsan images)  # and arm64, cluster and mutants, by their names only
# So many failures may be the machine's; more are the change's.
readonly MOST_REPEATED=5

help_test() {
  cat <<'TEXT'
usage: ./duet test [--all] [--only=PART[,PART...]] [--skip=PART[,PART...]]

Parts, in this order; those from scale on only with --all or --only, those from arm64 on only with --only:
  scripts    shellcheck
  unit       release build, unit tests
  tiers      release build, every other ctest tier
  deploy     Dockerfile, Kubernetes, compose, monitoring: linters, schemas, agreement with the running binaries
  e2e        the real processes and commands with a real Label Studio, and its page in a browser
  scale      several replicas of everything under load, also what takes longer: one that hangs; the tutorial
  collector  traces through OpenTelemetry's own collector, which it builds with Go
  asan       address and undefined-behaviour sanitizers, on the layers without LibTorch
  tsan       thread sanitizer, on the same
  images     builds the container images and starts them; needs root and about 20 minutes
  arm64      compiles everything for arm64 on this machine, and runs the unit tests of what needs no LibTorch by qemu; takes as
             long as a build of everything, and 5 GB
  cluster    puts the Kubernetes manifests on a real API server with its controllers, and runs Duet in Pods of a real node;
             needs root, cgroup v1 and 8 GB, and builds Kubernetes and KEDA the first time, which takes 40 minutes
  mutants    changes one line of the sources at a time and expects that a test fails (tools/mutate.py); takes hours

Where no more than five tests of a part fail, these run once more. One that passes then counts as passed and is named at
the end as unsteady: it, or what it tests, has a race that is to be found.

Exit code 0: all passed; 1: a test failed; 2: asked wrongly.
Example: ./duet test --only=unit,tiers
TEXT
}

cmd_test() {
  local parts=("${TEST_PARTS[@]}") part skipped
  local -x WITH_TESTS=yes
  while (($#)); do
    case $1 in
      --all | --all=*) ! says_yes "$1" || parts+=("${MORE_TEST_PARTS[@]}") ;;
      --only=*) IFS=, read -ra parts <<<"${1#*=}" ;;
      --skip=*) skipped=${1#*=}; mapfile -t parts < <(printf '%s\n' "${parts[@]}" | grep -vxF "${skipped//,/$'\n'}") ;;
      *) refuse "unknown argument '$1'; ./duet test --help" ;;
    esac
    shift
  done
  for part in "${parts[@]}"; do
    declare -F "test_part_$part" >/dev/null || refuse "no test part '$part'; ./duet test --help"
  done
  rm -rf "$TEST_RESULTS"
  mkdir -p "$TEST_RESULTS"
  install_test_packages
  ensure_unpacked tests/deploy/debian_tools.txt  # redis-server, for ctest
  install_test_environments "${parts[@]}" &
  local environments=$!
  for part in "${parts[@]}"; do
    [[ $part != @(deploy|e2e|scale) ]] || wait "$environments" || true
    timed_part "$part"
  done
  test_summary
}

install_test_packages() {
  local packages
  mapfile -t packages < <(packages_of build runtime test browser)
  command -v npm >/dev/null || packages+=(nodejs npm)
  install_packages "${packages[@]}"
}

# In the background while compilers run: what comes from pip takes minutes too.
install_test_environments() {
  local part
  for part in "$@"; do
    case $part in
      deploy) deploy_environment ;;
      e2e | scale) e2e_environment ;;
    esac
  done >/dev/null
}

deploy_environment() {
  ensure_venv deploy tests/deploy/requirements.txt
  ensure_go_tools tests/deploy/go_tools.txt
  ensure_go_modules tests/deploy/go_modules.txt
  ensure_unpacked tests/deploy/debian_tools.txt
}

e2e_environment() {
  ensure_venv python-client clients/python/requirements-test.txt >/dev/null
  ensure_venv label-studio deploy/label_studio/requirements.txt tests/e2e/requirements.txt
  ensure_unpacked tests/deploy/debian_tools.txt
}

timed_part() {
  local begin=$SECONDS
  "test_part_$1"
  # record_… has written this part's line; its duration goes to the end of that line.
  sed -i "\$ s/\$/\t$((SECONDS - begin))/" "$TEST_RESULTS/summary.tsv"
}

test_part_unit() { run_ctest unit release --label-regex '^unit$'; }
test_part_tiers() { run_ctest tiers release --label-exclude '^unit$'; }
test_part_asan() { run_ctest asan asan; }
test_part_tsan() { run_ctest tsan tsan; }
test_part_deploy() { run_pytest deploy "$(deploy_environment)" tests/deploy; }
test_part_e2e() { run_pytest e2e "$(e2e_environment)" tests/e2e -m 'not slow'; }
test_part_collector() { ensure_collector && run_pytest collector "$(deploy_environment)" tests/deploy/test_traces.py; }
test_part_scale() { run_pytest scale "$(e2e_environment)" tests/e2e/test_{scale,tutorial}.py; }

test_part_scripts() {
  step "scripts"
  local scripts failed=0
  mapfile -t scripts < <(git grep -lE '^(#!.*sh|# shellcheck shell=bash)$')
  shellcheck "${scripts[@]}" || failed=1
  record scripts $((1 - failed)) "$failed"
}

# Its copies of the tree stay below build/mutants, so that the next time is shorter.
test_part_mutants() {
  step "mutants"
  local report=$PWD/$TEST_RESULTS/mutants.xml
  python3 tools/mutate.py --report="$report" || true
  record_junit mutants "$report"
}

# run_pytest PART VENV PYTEST-ARGUMENT... The caller's INSIDE, if there is one, is a command that runs pytest as its arguments.
run_pytest() {
  local part=$1 venv=$2
  shift 2
  step "$part"
  local report=$PWD/$TEST_RESULTS/$part.xml
  if ! build release; then
    record "$part" 0 1
    return
  fi
  local pytest=("${INSIDE[@]}" "$venv/bin/python" -B -m pytest -o "cache_dir=$PWD/$TEST_RESULTS/$part.cache" "$@")
  "${pytest[@]}" --durations=5 --junitxml "$report" || true
  ! may_repeat "$report" || "${pytest[@]}" --last-failed --junitxml "$report.again" || true
  record_junit "$part" "$report"
}

# run_ctest PART PRESET [CTEST-ARGUMENT...]
run_ctest() {
  local part=$1 preset=$2
  shift 2
  step "$part: building"
  if ! build "$preset"; then
    warn "$part: the build failed"
    record "$part" 0 1
    return
  fi
  step "$part: running"
  local report=$PWD/$TEST_RESULTS/$part.xml
  local ctest=(ctest --test-dir "build/$preset" --output-on-failure)
  "${ctest[@]}" --parallel "$(nproc)" --output-junit "$report" "$@" || true
  ! may_repeat "$report" || "${ctest[@]}" --rerun-failed --output-junit "$report.again" || true
  record_junit "$part" "$report"
}

# may_repeat REPORT: have a few tests failed?
may_repeat() {
  local passed failed skipped
  read -r passed failed skipped < <(parse junit "$1")
  ((passed > 0 && failed > 0 && failed <= MOST_REPEATED))
}

# record PART PASSED FAILED
record() { printf '%s\t%d\t%d\n' "$@" >>"$TEST_RESULTS/summary.tsv"; }

# record_junit PART FILE: a report that is absent, or of no test at all, counts as one failure. FILE.again is of those of its
# tests that failed and ran once more.
record_junit() {
  local part=$1 report=$2 passed failed skipped
  read -r passed failed skipped < <(parse junit "$report")
  if ((passed + failed + skipped == 0)); then
    warn "$part: no tests were run"
    record "$part" 0 1
    return
  fi
  ((skipped == 0)) || warn "$part: $skipped skipped"
  if [[ -f $report.again ]]; then
    local steady unsteady
    read -r unsteady steady _ < <(parse junit "$report.again")
    if ((unsteady + steady == failed)); then
      parse junit --passed "$report.again" >>"$TEST_RESULTS/unsteady.txt"
      passed=$((passed + unsteady)) failed=$steady
    fi
  fi
  record "$part" "$passed" "$failed"
}

# The table of parts, then one line with the total; false if anything failed.
test_summary() {
  step "summary"
  local name
  [[ ! -s $TEST_RESULTS/unsteady.txt ]] || while IFS= read -r name; do
    warn "unsteady: $name failed, and passed when it ran once more"
  done <"$TEST_RESULTS/unsteady.txt"
  awk -F '\t' '{ printf "%-10s %5d passed %5d failed %5d s\n", $1, $2, $3, $4; p += $2; f += $3 }
    END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$TEST_RESULTS/summary.tsv"
}
