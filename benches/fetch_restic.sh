#!/usr/bin/env bash
# Fetch restic 0.19 or later from Debian's newer suites, without touching the system's apt state.
#
#   benches/fetch_restic.sh DIR        leaves the program at DIR/restic
#
# Debian's restic is one static binary, so its package needs only unpacking. The mirror and the key ring
# are those of this machine's own apt sources; lists, cache and dpkg status live in a temporary folder.
# RESTIC_SUITES="sid forky ..." chooses other suites. Needs apt-get, dpkg and a Debian mirror.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
suites=${RESTIC_SUITES:-"trixie-backports forky sid"}
wanted=${RESTIC_VERSION:-0.19}

# The first Debian mirror in the configured sources, deb822 or one-line, that offers the `main` component.
mirror=$(
    { cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '
        BEGIN { RS = ""; FS = "\n" }
        {
            uri = ""; main = 0
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^URIs:/) { split($i, f, /[ \t]+/); uri = f[2] }
                if ($i ~ /^Components:.*[ \t]main([ \t]|$)/) main = 1
            }
            if (main) print uri
        }'
      cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
          sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) [^ ]* .*main.*/\2/p'
    } | grep -E '/debian/?$' | head -n 1
) || true
[ -n "$mirror" ] || { echo "no Debian mirror in this machine's apt sources" >&2; exit 1; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

# A private apt: own source list, lists, cache and (empty) dpkg status. The system's proxy settings still apply.
use_suite() {
    rm -rf "$tmp/apt"
    mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/archives/partial" "$tmp/apt/parts"
    : > "$tmp/apt/status"
    local signed=""
    for ring in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
        if [ -e "$ring" ]; then signed="[signed-by=$ring] "; break; fi
    done
    printf 'deb %s%s %s main\n' "$signed" "$mirror" "$1" > "$tmp/apt/sources.list"
    apt_options=(
        -o "Dir::Etc::sourcelist=$tmp/apt/sources.list"
        -o "Dir::Etc::sourceparts=$tmp/apt/parts"
        -o "Dir::Etc::preferences=/dev/null"
        -o "Dir::Etc::preferencesparts=$tmp/apt/parts"
        -o "Dir::State=$tmp/apt"
        -o "Dir::State::lists=$tmp/apt/lists"
        -o "Dir::State::status=$tmp/apt/status"
        -o "Dir::Cache=$tmp/apt"
        -o "Dir::Cache::archives=$tmp/apt/archives"
        -o "APT::Sandbox::User="
        -o "Acquire::Languages=none"
        -o "Debug::NoLocking=1"
    )
}

for suite in $suites; do
    use_suite "$suite"
    if ! apt-get "${apt_options[@]}" -qq update > "$tmp/log" 2>&1; then
        echo "$suite: cannot be read" >&2
        continue
    fi
    version=$(apt-cache "${apt_options[@]}" policy restic 2>/dev/null | sed -n 's/^ *Candidate: //p')
    if [ -z "$version" ] || [ "$version" = "(none)" ] || ! dpkg --compare-versions "$version" ge "$wanted"; then
        echo "$suite: restic ${version:-(none)}, older than $wanted" >&2
        continue
    fi
    (cd "$tmp" && apt-get "${apt_options[@]}" -qq download restic > "$tmp/log" 2>&1) || {
        echo "$suite: download failed" >&2
        sed 's/^/    /' "$tmp/log" >&2
        continue
    }
    dpkg -x "$tmp"/restic_*.deb "$tmp/unpacked"
    install -m 755 "$tmp/unpacked/usr/bin/restic" "$out/restic"
    echo "$suite: restic $version"
    "$out/restic" version
    exit 0
done
echo "no suite of [$suites] offers restic $wanted or later; the last message of apt was:" >&2
sed 's/^/    /' "$tmp/log" >&2
exit 1
