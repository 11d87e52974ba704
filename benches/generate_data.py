#!/usr/bin/env python3
"""Make a data set of Avro files of a chosen size, and the same table one night later.

    benches/generate_data.py --out DIR --size 1G --codec null --kind orders

writes DIR/night1/part-NNNNN.avro, --size bytes of files in all, and DIR/night2: the same table after 1 % of its rows were
updated at random places, 0.1 % deleted and 1 % appended (as further parts), written afresh, so with other sync markers
and other block borders. Equal arguments give equal bytes (with the same zlib, snappy or zstd).

The rows are invented, with the entropy of a real orders table: random references, customers and articles that come
back with uneven frequency, times, amounts, free text now and then. zstd -3 shrinks them 2.9-fold in pieces of 1 MiB and
2.3-fold in pieces of 64 KiB, and no piece of a night comes twice. Codecs `null` and `deflate` need only the standard library; `snappy` needs
the package cramjam, `zstandard` the package zstandard.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
import random
import struct
import sys
import time
import zlib

BLOCK = 64_000  # bytes of records after which a block is closed, as Java's writer does

SCHEMA = {
    "type": "record",
    "name": "Order",
    "namespace": "org.example.shop",
    "fields": [
        {"name": "order_id", "type": "long"},
        {"name": "reference", "type": "string"},
        {
            "name": "status",
            "type": {
                "type": "enum",
                "name": "Status",
                "symbols": ["NEW", "PAID", "PICKED", "SHIPPED", "DELIVERED", "RETURNED", "CANCELLED"],
            },
        },
        {"name": "updated_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "customer",
            "type": {
                "type": "record",
                "name": "Customer",
                "fields": [
                    {"name": "id", "type": "long"},
                    {"name": "name", "type": "string"},
                    {"name": "email", "type": ["null", "string"]},
                    {"name": "city", "type": "string"},
                    {"name": "country", "type": "string"},
                ],
            },
        },
        {"name": "total", "type": "double"},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [
                        {"name": "article", "type": "string"},
                        {"name": "title", "type": "string"},
                        {"name": "unit_price", "type": "double"},
                        {"name": "quantity", "type": "int"},
                    ],
                },
            },
        },
        {
            "name": "delivery",
            "type": {
                "type": "record",
                "name": "Delivery",
                "fields": [
                    {"name": "carrier", "type": "string"},
                    {"name": "method", "type": "string"},
                    {"name": "depot", "type": ["null", "string"]},
                ],
            },
        },
        {"name": "express", "type": "boolean"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}

SYLLABLES = (
    "ba bel bor bri cal car dan del dor ed el fan fer gar gil hal han ivo jan jor kal kes kir lan lem lin lor mar mel mi "
    "mon nar nel no ol or pa pel per qui ran rel ro sal sen sil so tan tel tor ul val ven vor wen wil ya yor zan zel"
).split()
COUNTRIES = "AT BE CH CZ DE DK ES FI FR GB IE IT LU NL NO PL PT SE SI US".split()
MATERIALS = "oak steel linen cotton glass copper birch wool paper cork slate maple leather enamel bamboo felt".split()
THINGS = (
    "table lamp chair shelf bowl mug blanket cushion frame clock basket tray stool mirror vase kettle pan knife board "
    "hook rug curtain bench desk box jar pot candle holder rack"
).split()
ADJECTIVES = "small large round folding heavy light plain striped painted low tall wide narrow stacking".split()
NOTES = (
    "please leave the parcel with the neighbour at number gift wrap and do not ring before noon call when you arrive the "
    "second floor back door is open after five invoice to company reference customer asked for delivery later replace "
    "damaged item refund agreed by phone urgent"
).split()

PACK_DOUBLE = struct.Struct("<d").pack


def long_(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(s):
    return long_(len(s)) + s.encode()


class Orders:
    """Makes encoded order rows quickly: customers and articles are encoded once and then put together."""

    CUSTOMERS = 60_000
    ARTICLES = 6_000
    START = 1_735_689_600_000  # 2025-01-01, milliseconds

    def __init__(self, seed):
        rng = random.Random(f"pools {seed}")

        def name(low=2, high=3):
            return "".join(rng.choices(SYLLABLES, k=rng.randint(low, high))).capitalize()

        towns = [(name(), rng.choice(COUNTRIES)) for _ in range(3_000)]
        firsts = [name(1, 2) for _ in range(700)]
        lasts = [name(2, 4) for _ in range(9_000)]
        self.customers = []
        for _ in range(self.CUSTOMERS):
            first, last, (city, country) = rng.choice(firsts), rng.choice(lasts), rng.choice(towns)
            mail = f"{first}.{last}{rng.randint(1, 99)}@{rng.choice(lasts)}.example".lower()
            self.customers.append(
                long_(rng.randrange(10_000_000))
                + text(f"{first} {last}")
                + (b"\x02" + text(mail) if rng.random() < 0.9 else b"\x00")
                + text(city)
                + text(country)
            )
        self.articles = []
        for i in range(self.ARTICLES):
            title = f"{rng.choice(ADJECTIVES)} {rng.choice(MATERIALS)} {rng.choice(THINGS)}"
            price = rng.randint(150, 30_000) / 100
            article = text(f"{rng.choice('ABCDEFGH')}{i:05d}") + text(title) + PACK_DOUBLE(price)
            self.articles.append((article, price))
        carriers = ["Northern Parcel", "Swift Courier", "Bluebird Freight", "City Cyclists"]
        methods = ["standard delivery to the door", "collected at a parcel shop", "signed for, over 18", "two-man delivery"]
        depots = [name() for _ in range(60)]
        self.deliveries = [
            text(rng.choice(carriers))
            + text(rng.choice(methods))
            + (b"\x02" + text(f"depot {rng.choice(depots)}") if rng.random() < 0.8 else b"\x00")
            for _ in range(250)
        ]
        # A few customers order often and a few articles sell often, most of them seldom.
        self.customer_weights = list(itertools.accumulate(1 / (i + 200) for i in range(self.CUSTOMERS)))
        self.article_weights = list(itertools.accumulate(1 / (i + 20) for i in range(self.ARTICLES)))
        self.counts = [long_(n) for n in range(64)]

    def note(self, rng):
        return b"\x02" + text(" ".join(rng.choices(NOTES, k=rng.randint(4, 14))))

    def rows(self, rng, first, batch):
        """`batch` encoded rows with rising ids from `first` on."""
        choices = rng.choices
        item_counts = choices((1, 2, 3, 4, 6), (46, 28, 14, 8, 4), k=batch)
        articles = iter(choices(self.articles, cum_weights=self.article_weights, k=sum(item_counts)))
        quantities = iter(choices((1, 2, 3, 4, 10), (70, 17, 7, 4, 2), k=sum(item_counts)))
        customers = choices(self.customers, cum_weights=self.customer_weights, k=batch)
        deliveries = choices(self.deliveries, k=batch)
        references = rng.randbytes(5 * batch).hex()
        statuses = choices(
            (b"\x00", b"\x02", b"\x04", b"\x06", b"\x08", b"\x0a", b"\x0c"), (3, 4, 2, 6, 78, 4, 3), k=batch
        )
        tails = choices((b"\x00\x00", b"\x01\x00", b""), (82, 12, 6), k=batch)
        created = self.START + first * 700
        gaps, delays = choices(range(1400), k=batch), choices(range(60_000, 900_000_000), k=batch)
        counts, pack, out = self.counts, PACK_DOUBLE, []
        for i in range(batch):
            items, total = [], 0.0
            number = item_counts[i]
            for _ in range(number):
                article, price = next(articles)
                quantity = next(quantities)
                total += price * quantity
                items.append(article + counts[quantity])
            created += gaps[i]
            out.append(
                b"".join(
                    (
                        long_(first + i),
                        f"\x1cORD-{references[10 * i : 10 * i + 10]}".encode(),
                        statuses[i],
                        long_(created + delays[i]),
                        long_(created),
                        customers[i],
                        pack(round(total, 2)),
                        counts[number],
                        *items,
                        b"\x00",
                        deliveries[i],
                        tails[i] or b"\x00" + self.note(rng),
                    )
                )
            )
        return out

    def update(self, rng, row):
        """The same order later: status and time of change, sometimes a note where there was none."""
        at = 0
        while row[at] & 0x80:
            at += 1
        at += 1 + 15
        changed = long_(self.START + 40_000_000_000 + rng.randrange(86_400_000))
        assert len(changed) == 6
        row = row[:at] + bytes((2 * rng.randrange(1, 7),)) + changed + row[at + 7 :]
        if row.endswith(b"\x00\x00") and rng.random() < 0.1:
            row = row[:-1] + self.note(rng)
        return row


def encoder(codec):
    if codec == "null":
        return lambda data: data
    if codec == "deflate":

        def deflate(data):
            z = zlib.compressobj(6, zlib.DEFLATED, -15)
            return z.compress(data) + z.flush()

        return deflate
    if codec == "snappy":
        from cramjam import snappy

        return lambda data: bytes(snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")
    if codec == "zstandard":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress
    raise SystemExit(f"unknown codec {codec}")


class Container:
    """One Avro object container file being written."""

    def __init__(self, path, codec, marker):
        self.out = open(path, "wb", buffering=1 << 20)
        self.encode, self.marker = encoder(codec), marker
        self.rows, self.held, self.size, self.count = [], 0, 0, 0
        meta = [("avro.schema", json.dumps(SCHEMA, separators=(",", ":"))), ("avro.codec", codec)]
        self.put(b"Obj\x01" + long_(len(meta)) + b"".join(text(k) + text(v) for k, v in meta) + b"\x00" + marker)

    def put(self, data):
        self.out.write(data)
        self.size += len(data)

    def add(self, row):
        self.rows.append(row)
        self.held += len(row)
        if self.held >= BLOCK:
            self.flush()

    def flush(self):
        if self.rows:
            data = self.encode(b"".join(self.rows))
            self.put(long_(len(self.rows)) + long_(len(data)))
            self.put(data)
            self.put(self.marker)
            self.count += len(self.rows)
            self.rows, self.held = [], 0

    def close(self):
        self.flush()
        self.out.close()
        return self.size, self.count


def part(job):
    """One part of the table in both nights. Appended parts exist in the second night only."""
    args, number, target, appended = job
    table = Orders(args.seed)
    # Ids are handed out in ranges wide enough for the rows of a part, whatever its codec.
    first = 10_000_000 + number * (args.part // 20)
    rng = random.Random(f"{args.seed} {number} rows")

    def container(night):
        marker = hashlib.sha256(f"{args.seed} {args.codec} {night} {number}".encode()).digest()[:16]
        return Container(args.out / night / f"part-{number:05d}.avro", args.codec, marker)

    one = container("night2" if appended else "night1")
    two = None if appended else container("night2")
    change = random.Random(f"{args.seed} {number} changes")
    while one.size < target:
        for row in table.rows(rng, first, 512):
            first += 1
            one.add(row)
            if two is not None:
                r = change.random()
                if r < 0.01:
                    row = table.update(change, row)
                if r < 0.999:
                    two.add(row)
            if one.size >= target:
                break
    return (number, one.close(), two.close() if two is not None else None)


def size_of(s):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    s = s.upper().removesuffix("IB").removesuffix("B")
    return int(float(s[:-1]) * units[s[-1]]) if s[-1:] in units else int(s)


def main():
    parser = argparse.ArgumentParser(
        description="Make a data set of Avro files of a chosen size, and the same table one night later."
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for night1 and night2")
    parser.add_argument("--size", type=size_of, default=size_of("1G"), help="bytes of files a night: 500M, 1G (default)")
    parser.add_argument("--codec", choices=["null", "deflate", "snappy", "zstandard"], default="null")
    parser.add_argument("--kind", choices=["orders"], default="orders", help="the table to make")
    parser.add_argument("--part", type=size_of, default=size_of("32M"), help="bytes of one file (default 32M)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    for night in ("night1", "night2"):
        (args.out / night).mkdir(parents=True, exist_ok=True)
        if any((args.out / night).iterdir()):
            raise SystemExit(f"{args.out / night} is not empty")
    encoder(args.codec)
    started = time.monotonic()

    parts = max(1, round(args.size / args.part))
    appended = max(1, round(args.size / 100 / args.part))
    jobs = [(args, n, args.size // parts, False) for n in range(parts)]
    jobs += [(args, parts + n, args.size // 100 // appended, True) for n in range(appended)]
    totals = {"night1": [0, 0, 0], "night2": [0, 0, 0]}
    with multiprocessing.Pool(args.jobs) as pool:
        for number, one, two in pool.imap_unordered(part, jobs):
            for night, done in (("night2", one),) if two is None else (("night1", one), ("night2", two)):
                total = totals[night]
                total[0] += 1
                total[1] += done[0]
                total[2] += done[1]
    for night, (files, size, rows) in totals.items():
        print(f"{night}: {files} files, {size} bytes, {rows} rows, codec {args.codec}")
    print(f"made in {time.monotonic() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
