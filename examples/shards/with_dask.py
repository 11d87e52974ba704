"""The parts as futures of Dask. Each worker needs snap, the repository and the source.

    python with_dask.py --shards 64 --run 2026-11-30 /lake/orders

DASK_SCHEDULER_ADDRESS names a cluster; without it Dask starts on this machine alone.
"""

import os

from dask.distributed import Client, as_completed

from shards import arguments, merge, save_part


def main():
    asked = arguments()
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    options = {} if address else {"dashboard_address": None}
    with Client(address, **options) as client:
        numbers = range(1, asked.shards + 1)
        # A part is retried alone. It must run even if one with the same arguments ran before.
        parts = [
            client.submit(save_part, n, asked.shards, asked.run, asked.host, asked.sources, retries=3, pure=False)
            for n in numbers
        ]
        for part in as_completed(parts):
            report = part.result()
            print(f"part {report['shard']}: {report['bytes_read']} bytes read")
    print(f"snapshot {merge(asked.run)['snapshot_id']}")


if __name__ == "__main__":
    main()
