#!/usr/bin/env bash
# A new project, a small sweep of its example node on this machine, and the list of its runs. Needs no account and no cluster.
#
#   docs/demo.sh [FOLDER]           the project stays in FOLDER; without one it goes at the end
set -euo pipefail
NODE=FitOLS
DATA=(--dataset longley.csv --target employed)
PENALTIES=0,0.1,1,10

# A developer's own bucket and settings stay out of it.
for name in "${!B2_@}" "${!SAVETHAT_@}"; do
  unset "$name"
done

show() {
  printf '\n$ %s\n' "$*" >&2
  "$@"
}

if [ $# -gt 0 ]; then
  folder=$1
  mkdir -p "$folder"
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
cd "$folder"
show savethat init my_project
show cd my_project
show savethat nodes
show savethat sweep --max-parallel 2 "$NODE" "${DATA[@]}" --l2 "$PENALTIES"
show savethat ls --columns args.l2,result.mse,result.r2
