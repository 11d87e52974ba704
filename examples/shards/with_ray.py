"""The parts as tasks of Ray. Each worker needs snap, the repository and the source.

    python with_ray.py --shards 64 --run 2026-11-30 /lake/orders
"""

import ray

from shards import arguments, merge, save_part


def main():
    asked = arguments()
    # Without an address Ray starts on this machine alone.
    ray.init(ignore_reinit_error=True, include_dashboard=False)
    # A part is retried alone. One that is there is not made again.
    save = ray.remote(max_retries=3, retry_exceptions=True)(save_part)
    parts = [save.remote(n, asked.shards, asked.run, asked.host, asked.sources) for n in range(1, asked.shards + 1)]
    for part in ray.get(parts):
        print(f"part {part['shard']}: {part['bytes_read']} bytes read")
    print(f"snapshot {merge(asked.run)['snapshot_id']}")


if __name__ == "__main__":
    main()
