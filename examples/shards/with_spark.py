"""The parts as partitions of Spark, one for each. Each executor needs snap, the repository and the source.

    spark-submit --py-files shards.py with_spark.py --shards 64 --run 2026-11-30 /lake/orders

Executors of a cluster get the repository by --conf spark.executorEnv.SNAP_REPOSITORY=... and the like. With --master local[2,4]
all runs on this machine, by two threads and with four attempts; with local[2] there is one attempt.
"""

from pyspark.sql import SparkSession

from shards import arguments, merge, save_part


def main():
    asked = arguments()
    # Spark retries a task that failed (spark.task.maxFailures), and may start a slow one twice: both are fine.
    spark = SparkSession.builder.appName(f"snap {asked.run}").getOrCreate()
    shards, run, host, sources = asked.shards, asked.run, asked.host, asked.sources
    numbers = spark.sparkContext.parallelize(range(1, shards + 1), shards)
    for part in numbers.map(lambda n: save_part(n, shards, run, host, sources)).collect():
        print(f"part {part['shard']}: {part['bytes_read']} bytes read")
    print(f"snapshot {merge(run)['snapshot_id']}")
    spark.stop()


if __name__ == "__main__":
    main()
