#!/usr/bin/env bash
# Fuzzes every target for SECONDS_EACH (default: five minutes) with libFuzzer, one after the other, from the committed
# seeds and what earlier nights found:
#
#   cmake --preset fuzz && cmake --build --preset fuzz && tests/fuzz/nightly.sh build/fuzz [SECONDS_EACH]
set -euo pipefail
build=$1
seconds=${2:-300}
here=$(cd "$(dirname "$0")" && pwd)
status=0
for seeds in "$here"/corpus/*/; do
    target=$(basename "$seeds")
    found=$build/corpus/$target
    mkdir -p "$found"
    echo "== $target"
    SECOUSTI_FUZZ_TARGET=$target "$build/tests/fuzz/secousti_fuzz" -max_total_time="$seconds" -max_len=65536 \
        -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 -artifact_prefix="$build/$target-" "$found" "$seeds" \
        >"$build/$target.log" 2>&1 || { status=1; grep -m 3 -E "violated|ERROR|SUMMARY" "$build/$target.log"; }
    grep -E "stat::number_of_executed_units|cov:" "$build/$target.log" | tail -n 2
done
exit $status
