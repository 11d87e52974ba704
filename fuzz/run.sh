#!/usr/bin/env bash
# Run fuzz targets, each for so many seconds: fuzz/run.sh [SECONDS [TARGET...]], by default 60 seconds and all of them.
# SANITIZER=none goes without AddressSanitizer. What is found lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
sanitizer=${SANITIZER:-address}

# Coverage and sanitizers are unstable flags; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
[ $# -eq 0 ] || targets=("$@")
for target in "${targets[@]}"; do cargo fuzz build --sanitizer "$sanitizer" "$target"; done

failed=()
for target in "${targets[@]}"; do
    printf '\n== %s, %s s\n' "$target" "$seconds"
    # New inputs go where git does not look; those in corpus/ are read only.
    mkdir -p "found/$target" "artifacts/$target"
    if ! cargo fuzz run --sanitizer "$sanitizer" "$target" "found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=512 -timeout=10 -max_len=16384 -print_final_stats=1 -verbosity=0; then
        failed+=("$target")
    fi
done
[ ${#failed[@]} -eq 0 ] || { printf '\nfailed: %s\n' "${failed[*]}"; exit 1; }
printf '\nnothing was found\n'
