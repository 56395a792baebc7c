#!/usr/bin/env python3
"""Runs commands in turn, all of them RUNS times, so that a busy machine is busy for each alike.
timed.py RUNS COMMAND [-- COMMAND ...]      a command: words; its standard output is thrown away
One JSON line a command: medians of wall and processor seconds (its children's too), the least of each, peak MiB (looked at
every 10 ms: rusage has this program's own for a small child). A command that fails ends it all. On a machine with other work, processor seconds are the ones to compare."""
import json
import os
import statistics
import subprocess
import sys
import threading
import time


def watch(pid, peaks, ended):
    while not ended.wait(0.01):
        try:
            peaks += [int(line.split()[1]) / 1024 for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")]
        except OSError:
            return


def once(argv):
    peaks, ended = [0], threading.Event()
    start = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    threading.Thread(target=watch, args=(child.pid, peaks, ended), daemon=True).start()
    _, status, used = os.wait4(child.pid, 0)
    ended.set()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"timed.py: exit {child.returncode}: {' '.join(argv)}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, max(peaks)


commands, words = [], []
for word in sys.argv[2:] + ["--"]:
    if word == "--":
        commands.append(words)
        words = []
    else:
        words.append(word)
runs = [[] for _ in commands]
for _ in range(int(sys.argv[1])):
    for argv, times in zip(commands, runs):
        times.append(once(argv))
for times in runs:
    wall, cpu, peak = zip(*times)
    print(json.dumps({"wall": round(statistics.median(wall), 4), "wall_best": round(min(wall), 4), "cpu": round(statistics.median(cpu), 4),
                      "cpu_best": round(min(cpu), 4), "peak_mib": round(max(peak), 1), "runs": len(times)}))
