#!/usr/bin/env bash
# Compare snap with restic on a generated data set, as whole programs and in one run.
#
#   benches/compare.sh [--size 1G] [--codec null] [--runs 3] [--work DIR] [--snap PATH] [--restic PATH]
#                      [--tools "snap restic"] [--drop-caches]
#
# --size         bytes of Avro files of the first night (default 1G)
# --codec        null, deflate, snappy or zstandard (default null)
# --runs         how often everything is done, each time into fresh repositories (default 3)
# --work         where data, repositories and results go (default: snap-compare in the temporary folder);
#                needs room for about five times --size. A data set found there is used again.
# --snap         the program to measure (default: target/release/snap of this checkout)
# --restic       the judge (default: restic in the path); benches/fetch_restic.sh gets a current one
# --tools        leave one out: --tools restic
# --drop-caches  empty the page cache before each step (needs root); without it the source is read once before
#                each step, so that both programs find it in memory
#
# Steps: init; create of new data; create again, nothing changed; create after the next night replaced the files; restore
# of the latest snapshot into an empty directory, compared with the source byte by byte; check; check --read-data.
# Each step is done by both programs in turn, and who begins alternates from run to run. snap encrypts, as restic does.
# PYTHON names another Python (snappy needs its package cramjam, zstandard the package zstandard).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
size=1G codec=null runs=3 work="${TMPDIR:-/tmp}/snap-compare" tools="snap restic" drop=no
snap="$here/../target/release/snap" restic=restic python=${PYTHON:-python3}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
fail() { echo "compare.sh: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --drop-caches) drop=yes; shift; continue ;;
        -h | --help) usage; exit 0 ;;
    esac
    [ $# -ge 2 ] || { usage >&2; exit 2; }
    case $1 in
        --size) size=$2 ;;
        --codec) codec=$2 ;;
        --runs) runs=$2 ;;
        --work) work=$2 ;;
        --snap) snap=$2 ;;
        --restic) restic=$2 ;;
        --tools) tools=$2 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2
done

# Programs are called from another folder, so their paths are made absolute.
absolute() {
    local found
    found=$(command -v "$1") || fail "$1: not found$2"
    echo "$(cd "$(dirname "$found")" && pwd)/$(basename "$found")"
}
case " $tools " in *" snap "*) snap=$(absolute "$snap" " (cargo build --release)") ;; esac
case " $tools " in *" restic "*) restic=$(absolute "$restic" " (benches/fetch_restic.sh DIR)") ;; esac
for tool in $tools; do
    case $tool in snap | restic) ;; *) fail "--tools knows snap and restic, not $tool" ;; esac
done

mkdir -p "$work"
work=$(cd "$work" && pwd)
data="$work/data-$codec-$size"
if [ ! -e "$data/complete" ] || [ ! -d "$data/night1" ] || [ ! -d "$data/night2" ]; then
    rm -rf "$data"
    "$python" "$here/generate_data.py" --out "$data" --size "$size" --codec "$codec" --kind orders > "$work/data.log"
    cat "$work/data.log"
    mv "$work/data.log" "$data/complete"
    sleep 3 # programs may distrust files younger than their clock's grain
fi

scratch="$work/scratch"
results="$work/results-$codec-$size.tsv"
rm -rf "$scratch"
mkdir -p "$scratch"
: > "$results"
# The files stand at the same path in both nights, as a nightly export writes them.
source="$scratch/source"
mkdir "$source"
current=""
put_back() { if [ -n "$current" ]; then mv "$source/orders" "$data/$current" && current=""; fi; }
show() { put_back; mv "$data/$1" "$source/orders"; current=$1; }
trap 'put_back; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

export SNAP_PASSWORD=compare RESTIC_PASSWORD=compare
unset SNAP_REPOSITORY RESTIC_REPOSITORY
export XDG_CACHE_HOME="$scratch/cache" XDG_STATE_HOME="$scratch/state"

command_of() { # tool step: sets `command`
    local repo="$scratch/repo-$1" target="$scratch/restored-$1"
    case $1-$2 in
        snap-init) command=("$snap" -r "$repo" init) ;;
        snap-new | snap-unchanged | snap-next) command=("$snap" -r "$repo" create orders) ;;
        snap-restore) command=("$snap" -r "$repo" restore latest --target "$target") ;;
        snap-check) command=("$snap" -r "$repo" check) ;;
        snap-read-data) command=("$snap" -r "$repo" check --read-data) ;;
        restic-init) command=("$restic" -r "$repo" init) ;;
        restic-new | restic-unchanged | restic-next) command=("$restic" -r "$repo" backup orders) ;;
        restic-restore) command=("$restic" -r "$repo" restore latest --target "$target") ;;
        restic-check) command=("$restic" -r "$repo" check) ;;
        restic-read-data) command=("$restic" -r "$repo" check --read-data) ;;
    esac
}

settle() { # step: the same start for whoever comes next
    sync
    if [ "$drop" = yes ]; then
        echo 3 > /proc/sys/vm/drop_caches
    else
        case $1 in new | unchanged | next) cat "$source"/orders/* > /dev/null ;; esac
    fi
}

compare_restored() { # tool
    local target="$scratch/restored-$1" found
    # Where below the target the folder comes to lie is each program's own affair.
    found=$(find "$target" -type d -name orders)
    [ -n "$found" ] || fail "$1 restored no folder 'orders'"
    diff -r "$source/orders" "$found" || fail "$1 restored something else than was stored"
    rm -rf "$target"
}

for ((run = 1; run <= runs; run++)); do
    order=$tools
    if ((run % 2 == 0)); then order=$(tr ' ' '\n' <<< "$tools" | tac | tr '\n' ' '); fi
    rm -rf "$scratch/cache" "$scratch/state" "$scratch"/repo-*
    show night1
    for step in init new unchanged next restore check read-data; do
        if [ "$step" = next ]; then show night2; fi
        for tool in $order; do
            settle "$step"
            command_of "$tool" "$step"
            if [ "$step" = restore ]; then mkdir "$scratch/restored-$tool"; fi
            (cd "$source" && "$python" "$here/measure.py" run "$results" "$run" "$tool" "$step" \
                "$scratch/$tool.log" "$scratch/repo-$tool" -- "${command[@]}")
            if [ "$step" = restore ]; then compare_restored "$tool"; fi
        done
    done
done

echo
echo "## $(date -u +%Y-%m-%d), $size of $codec files"
echo
for tool in $tools; do
    case $tool in
        snap) echo "- snap: $("$snap" --version)" ;;
        restic) echo "- restic: $("$restic" version)" ;;
    esac
done
echo "- machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), $(
    stat -f -c %T "$work"), page cache $([ "$drop" = yes ] && echo cold || echo warm)"
sed 's/^/- /' "$data/complete"
echo "- every restored folder was equal to its source"
echo
"$python" "$here/measure.py" report "$results"
