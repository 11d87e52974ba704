"""Saves a source in parts, by several processes, and makes one snapshot of them.

    python shards.py --shards 8 --run 2026-11-30 /lake/orders

What has to be done is one command for each part, in any order and on any machine, and one command at the end. A part that fails is
run again alone; one that is there is not made again. So each part may be retried as often as the engine likes.

The repository and its password come from the environment (SNAP_REPOSITORY, SNAP_PASSWORD_FILE, ...), as for any other use of snap.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

SNAP = os.environ.get("SNAP_PROGRAM", "snap")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, required=True, help="number of parts")
    parser.add_argument("--run", required=True, help="name of the run: another one for each snapshot")
    parser.add_argument("--host", default="lake", help="what the snapshot says it was made on")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="processes at the same time")
    parser.add_argument("sources", nargs="+")
    return parser.parse_args()


def save_part(number, shards, run, host, sources):
    """Saves one part; returns what snap reports of it. Raises if it failed."""
    command = [SNAP, "create", "--json", "--quiet", "--shard", f"{number}/{shards}", "--run", run, "--host", host, *sources]
    return report_of(command)


def merge(run):
    """Makes the snapshot; returns what snap reports of it."""
    return report_of([SNAP, "merge", "--json", "--quiet", "--run", run])


def report_of(command):
    done = subprocess.run(command, capture_output=True, text=True)
    # 3: something could not be read, and is not in the snapshot. The report says how much.
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    sys.stderr.write(done.stderr)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    return next(report for report in reports if report["message_type"] == "summary")


def main():
    asked = arguments()
    with ThreadPoolExecutor(asked.at_once) as pool:
        parts = pool.map(lambda n: save_part(n, asked.shards, asked.run, asked.host, asked.sources), range(1, asked.shards + 1))
        for part in parts:
            print(f"part {part['shard']}: {part['bytes_read']} bytes read")
    print(f"snapshot {merge(asked.run)['snapshot_id']}")


if __name__ == "__main__":
    main()
