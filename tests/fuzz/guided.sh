#!/usr/bin/env bash
# Fuzzes every parser of outside input, or those that are named, one after the other, and prints a
# table. What was found is kept in build/fuzz/, which the next time begins with.
#
#   FUZZ_SECONDS=60 tests/fuzz/guided.sh .venv-fuzz/bin/python ["launch record" ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "$1")
shift
export PYTHONPATH=$PWD
# Parsers are given a new folder for each input: in memory, where there is such a place.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <("$python" -m tests.fuzz.guided --list 2>/dev/null); fi
failed=0
mkdir -p build/fuzz
printf '%-22s %12s %10s\n' parser inputs result
for target in "${targets[@]}"; do
  folder=$PWD/build/fuzz/${target//[^a-zA-Z0-9.]/-}
  mkdir -p "$folder"
  result=ok
  # A parser that needs a minute or 2 GB for what fits in 4 KB is as wrong as one that raises.
  (cd "$folder" && "$python" -m tests.fuzz.guided "$target" corpus -max_total_time="${FUZZ_SECONDS:-60}" \
    -timeout=60 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 >log 2>&1) || result=FAILED
  [ $result = ok ] || failed=1
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p; s/^Done \([0-9]*\) runs.*/\1/p' "$folder/log" | tail -1)
  printf '%-22s %12s %10s\n' "$target" "${inputs:-?}" "$result"
  [ $result = ok ] || printf '  see %s/log\n' "$folder"
done
exit $failed
