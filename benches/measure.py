#!/usr/bin/env python3
"""Measure commands, and put what was measured side by side. Used by compare.sh; standard library only.

    measure.py run RESULTS RUN TOOL STEP LOG REPO -- COMMAND...   runs COMMAND and appends one line to RESULTS
    measure.py report RESULTS                                     prints a table in Markdown

A line of RESULTS has, with tabs between: run, tool, step, seconds by the clock, CPU seconds (user and system), peak
memory in bytes, bytes of all files of the repository afterwards.
"""

import os
import statistics
import sys
import time

STEPS = [
    ("init", "init"),
    ("new", "create, new data"),
    ("unchanged", "create, unchanged"),
    ("next", "create, next night"),
    ("restore", "restore latest"),
    ("check", "check"),
    ("read-data", "check --read-data"),
]


def folder_size(path):
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
    return total


def run(results, number, tool, step, log, repo, command):
    with open(log, "ab") as out:
        out.write(("$ " + " ".join(command) + "\n").encode())
        out.flush()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            try:
                os.execvp(command[0], command)
            except OSError as error:
                print(f"{command[0]}: {error}", file=sys.stderr)
                os._exit(127)
        _, status, usage = os.wait4(child, 0)
        wall = time.monotonic() - started
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        print(f"{tool} {step}: exit code {code}; the end of its output:", file=sys.stderr)
        with open(log, errors="replace") as said:
            sys.stderr.writelines("    " + line for line in said.readlines()[-15:])
        return 1
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    size = folder_size(repo)
    with open(results, "a") as out:
        out.write(f"{number}\t{tool}\t{step}\t{wall:.3f}\t{cpu:.3f}\t{peak}\t{size}\n")
    print(
        f"run {number}  {tool:<6}  {step:<9}  {wall:8.2f} s  {cpu:8.2f} CPU s  {peak / 1e6:7.0f} MB peak  "
        f"{size / 1e6:9.1f} MB stored",
        flush=True,
    )
    return 0


def report(results):
    seen = {}
    with open(results) as lines:
        for line in lines:
            _, tool, step, *numbers = line.split("\t")
            seen.setdefault((tool, step), []).append([float(n) for n in numbers])
    tools = [tool for tool in ("snap", "restic") if any(t == tool for t, _ in seen)]
    both = len(tools) == 2
    runs = max(len(rows) for rows in seen.values())

    def middle(tool, step, column):
        return statistics.median(row[column] for row in seen[tool, step])

    def cells(step, column, scale, digits):
        out = [f"{middle(tool, step, column) / scale:.{digits}f}" for tool in tools]
        if both:
            snap, restic = (middle(tool, step, column) for tool in tools)
            out.append(f"{snap / restic:.2f}" if restic else "-")
        return out

    columns = [("wall s", 0, 1, 2), ("CPU s", 1, 1, 2), ("peak MB", 2, 1e6, 0), ("stored MB", 3, 1e6, 1)]
    head = ["step"]
    for title, *_ in columns:
        head += [f"{tool} {title}" for tool in tools] + (["ratio"] if both else [])
    note = "; ratio = snap / restic, below 1 is better for snap" if both else ""
    print(f"Medians of {runs} run{'s' if runs > 1 else ''}{note}")
    print()
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for step, title in STEPS:
        if any((tool, step) not in seen for tool in tools):
            continue
        row = [title]
        for _, column, scale, digits in columns:
            row += cells(step, column, scale, digits)
        print("| " + " | ".join(row) + " |")
    print()
    print("Wall seconds of every run:")
    for step, title in STEPS:
        for tool in tools:
            if (tool, step) in seen:
                print(f"  {title:<19} {tool:<6} " + "  ".join(f"{row[0]:.2f}" for row in seen[tool, step]))


def main():
    if len(sys.argv) > 9 and sys.argv[1] == "run" and sys.argv[8] == "--":
        sys.exit(run(*sys.argv[2:8], sys.argv[9:]))
    if len(sys.argv) == 3 and sys.argv[1] == "report":
        sys.exit(report(sys.argv[2]))
    sys.exit(__doc__)


if __name__ == "__main__":
    main()
