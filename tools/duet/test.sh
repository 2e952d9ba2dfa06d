# shellcheck shell=bash
# ./duet test: every tier, the fast ones first. A part that fails does not stop those after it.

readonly TEST_RESULTS=build/test-results

test_help() {
  cat <<'TEXT'
usage: ./duet test [--only PART[,PART...]]

Parts, in this order:
  unit       release build, unit tests
  tiers      release build, every other ctest tier
  scripts    shellcheck
  asan       address and undefined-behaviour sanitizers, on the layers without LibTorch
  tsan       thread sanitizer, on the same
  e2e        the real processes, commands and a real Label Studio
TEXT
}

cmd_test() {
  local parts=(unit tiers scripts asan tsan e2e)
  while (($#)); do
    case $1 in
      --only) IFS=, read -ra parts <<<"${2:?--only needs a list of parts}"; shift ;;
      --help) test_help; return ;;
      *) die "unknown argument '$1'; ./duet test --help" ;;
    esac
    shift
  done
  rm -rf "$TEST_RESULTS"
  mkdir -p "$TEST_RESULTS"
  mapfile -t packages < <(packages_of build runtime test)
  install_packages "${packages[@]}"
  local part
  for part in "${parts[@]}"; do
    declare -F "test_part_$part" >/dev/null || die "no test part '$part'; ./duet test --help"
  done
  for part in "${parts[@]}"; do
    "test_part_$part"
  done
  test_summary
}

test_part_unit() { run_ctest unit release --label-regex '^unit$'; }
test_part_tiers() { run_ctest tiers release --label-exclude '^unit$'; }
test_part_asan() { run_ctest asan asan; }
test_part_tsan() { run_ctest tsan tsan; }

test_part_scripts() {
  step "scripts"
  local scripts
  mapfile -t scripts < <(git ls-files -- '*.sh' duet .ci/run)
  local failed=0
  shellcheck "${scripts[@]}" || failed=1
  record scripts $((1 - failed)) "$failed"
}

test_part_e2e() {
  step "e2e"
  local venv report=$PWD/$TEST_RESULTS/e2e.xml
  venv=$(ensure_venv label-studio deploy/label_studio/requirements.txt tests/e2e/requirements.txt)
  "$venv/bin/python" -m pytest -p no:cacheprovider tests/e2e --junitxml "$report" || true
  record_junit e2e "$report"
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
  ctest --test-dir "build/$preset" --parallel "$(nproc)" --output-on-failure --no-tests=ignore \
    --output-junit "$report" "$@" || true
  record_junit "$part" "$report"
}

# record PART PASSED FAILED
record() { printf '%s\t%d\t%d\n' "$@" >>"$TEST_RESULTS/summary.tsv"; }

# record_junit PART FILE: a report that is absent counts as one failure.
record_junit() {
  local part=$1 report=$2
  if [[ ! -s $report ]]; then
    record "$part" 0 1
    return
  fi
  local tests failures errors skipped
  tests=$(junit_count tests "$report")
  failures=$(junit_count failures "$report")
  errors=$(junit_count errors "$report")
  skipped=$(junit_count skipped "$report")
  record "$part" $((tests - failures - errors - skipped)) $((failures + errors))
}

# junit_count ATTRIBUTE FILE: the attribute of the first <testsuite>, 0 if it has none.
junit_count() {
  local count
  count=$(tr '\n\t' '  ' <"$2" | grep -o '<testsuite [^>]*' | head -n 1 | grep -oP " $1=\"\K\d+" || true)
  echo "${count:-0}"
}

# The table of parts, then one line with the total; false if anything failed.
test_summary() {
  step "summary"
  awk -F '\t' '{ printf "%-10s %5d passed %5d failed\n", $1, $2, $3; p += $2; f += $3 }
    END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$TEST_RESULTS/summary.tsv"
}
