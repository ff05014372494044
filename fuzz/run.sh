#!/usr/bin/env bash
# Builds the fuzz targets with a stable Rust and runs them, two at a time.
#
#   fuzz/run.sh HOURS [TARGET...]     each target for its share of so many hours; new inputs stay in fuzz/corpus
#   fuzz/run.sh SECONDSs [TARGET...]  each target for so many seconds, as in `fuzz/run.sh 20s`
#
# Needs a C++ compiler, for libFuzzer. JOBS says how many targets run at once. RUNS is the most inputs that each target
# makes; with RUNS=0 it tries what it starts from, and nothing by chance. With a nightly Rust, `cargo fuzz run TARGET` does
# the same with the address sanitizer.
set -euo pipefail
cd "$(dirname "$0")"

time=${1:?usage: fuzz/run.sh HOURS or SECONDSs [TARGET...]}
shift
jobs=${JOBS:-2}
all=$(cd fuzz_targets && ls -- *.rs | sed 's/\.rs$//')
targets=${*:-$all}
count=$(wc -w <<<"$targets")
case $time in
  *s) seconds=${time%s} ;;
  *) seconds=$(awk -v hours="$time" -v count="$count" -v jobs="$jobs" \
    'BEGIN { printf "%d", hours * 3600 * (count < jobs ? 1 : jobs / count) }') ;;
esac

# What cargo-fuzz passes to the compiler, without the sanitizer: LLVM's coverage, by flags that a stable Rust has. Only
# what is built for the named target gets them, so build scripts stay as they are.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$(tr -s '\n ' ' ' <<<"$RUSTFLAGS")
target=${CARGO_TARGET_DIR:-target}
[ -z "${CARGO_TARGET_DIR:-}" ] || target=$CARGO_TARGET_DIR/fuzz
cargo build --release --locked --bins --target "$host" --target-dir "$target"

run() {
  local name=$1 seconds=$2 program=$3
  local log=artifacts/$name.log
  mkdir -p "corpus/$name" "artifacts/$name"
  local -a options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1
    -artifact_prefix="artifacts/$name/" -dict=words.dict -verbosity=0 -runs="${RUNS:--1}")
  if OAUTH_FUZZ_SEEDS=corpus/$name "$program" "${options[@]}" "corpus/$name" >"$log" 2>&1; then
    printf '%-16s %s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: */inputs tried: /p' "$log")"
  else
    printf '%-16s FAILED; more is in fuzz/%s\n' "$name" "$log"
    # The statement that does not hold, and the input: its file, and itself when it is short.
    grep -aE -A2 'panicked at|ERROR: libFuzzer' "$log" | grep -avE 'backtrace|^ *[0-9]+: |^--$' | cut -c-1000
    grep -aE 'Test unit written|^Base64: ' "$log" | cut -c-4000
    return 1
  fi
}
export -f run
printf '%s targets, %s seconds each\n' "$count" "$seconds"
tr ' ' '\n' <<<"$targets" | xargs -P "$jobs" -I{} bash -c "run {} $seconds $target/$host/release/{}"
