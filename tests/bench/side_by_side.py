"""Is a revision as fast as another? Runs the benchmark programs of two build folders in turns and compares.

    ninja -C BUILD tests/bench_{train_step,attention,index_ops,linear}        # in both
    python3 tests/bench/side_by_side.py OLD_BUILD NEW_BUILD [--seconds 300] [--only step,attention] [--threads 2]

With one thread (the default) times are the processor's, which other programs move little; with more they are the clock's, and
the machine must be idle. Each row: the medians of both, new over old; the median of the turns' ratios; the ratio of the
fastest turns. Slower is what exceeds the limit of 3 % in all three; such a row is measured up to three times as long before it
is called so. At least three turns are taken, however short the time. Exit status 0 where nothing is slower, 1 where something
is, 2 where a program is missing.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from train_step import Side, write_images
from train_step_peer import CASES

STEPS = ["tiny", "tiny-b1", "small", "nested"]
ATTENTION = ["N65xB64xH3", "N197xB8xH6", "N785xB8xH6", "N1024xB2xH6xcausal", "8x257+32x50xH6"]
INDEX = "(tiny|ViT-S|ViT-g).*/(strict|strict, counted|strict, automatic scale|wide|off)/"
LINEAR = "(4160/192/768|4160/768/192|1576/384/1152)"


def output_of(command, environment):
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def google(program, pattern, environment):
    clock = "cpu_time" if environment["DEMI_THREADS"] == "1" else "real_time"
    with tempfile.NamedTemporaryFile() as file:
        output_of([program, f"--benchmark_filter={pattern}", "--benchmark_min_time=0.02", f"--benchmark_out={file.name}",
                   "--benchmark_out_format=json"], environment)
        unit = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}
        return {b["name"].removesuffix("/real_time").removesuffix("/process_time"): b[clock] * unit[b["time_unit"]]
                for b in json.load(file)["benchmarks"]}


def attention(build, shape, environment):
    rows = {}
    for line in output_of([f"{build}/tests/bench_attention", "3", shape], environment).splitlines()[2:]:
        name, path, forward, backward, _ = line.split()
        rows[f"{name} {path} forward"], rows[f"{name} {path} backward"] = float(forward), float(backward)
    return rows


class Table:
    def __init__(self):
        self.rows = {}  # (group, name) -> [milliseconds of old, of new]

    def add(self, group, side, rows):
        for name, value in rows.items():
            self.rows.setdefault((group, name), [[], []])[side].append(value)

    def ratios(self, row):
        old, new = self.rows[row]
        pairs = [b / a for a, b in zip(old, new)]
        return statistics.median(new) / statistics.median(old), statistics.median(pairs), min(new) / min(old)

    def slower(self, group, limit):
        return [row for row in self.rows if row[0] == group and min(self.ratios(row)) > 1 + limit]

    def show(self, group, limit):
        """Prints a group; returns what is slower."""
        slower = self.slower(group, limit)
        for row, (old, new) in self.rows.items():
            if row[0] == group:
                print(f"{group:<10}{row[1]:<58}{statistics.median(old):>10.4g}{statistics.median(new):>10.4g}"
                      + "".join(f"{ratio:>8.3f}" for ratio in self.ratios(row)) + f"{len(old):>6}" + "  SLOWER" * (row in slower))
        sys.stdout.flush()
        return slower


def turns(table, group, seconds, limit, measure):
    """measure(side) -> {name: ms} for both sides in turns; who begins changes."""
    start, turn = time.perf_counter(), 0
    while True:
        for side in ((0, 1), (1, 0))[turn % 2]:
            table.add(group, side, measure(side))
        turn += 1
        spent = time.perf_counter() - start
        if turn >= 3 and (spent > 3 * seconds or spent > seconds and not table.slower(group, limit)):
            return


def processor_ms(process):
    """What its main thread has used so far."""
    with open(f"/proc/{process.pid}/schedstat") as file:
        return int(file.read().split()[0]) * 1e-6


def step_ms(side, count, threads):
    before = processor_ms(side.process)
    times = side.ask(f"steps {count}")["ms"]
    return (processor_ms(side.process) - before) / count if threads == 1 else statistics.median(times)


def train_steps(table, builds, seconds, limit, threads):
    for name in STEPS:
        model, batch, boundary, _ = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            data = os.path.join(folder, "images")
            write_images(data, model, batch)
            sides = [Side([f"{build}/tests/bench_train_step", model, str(batch), boundary, data], {"DEMI_THREADS": str(threads)})
                     for build in builds]
            for side in sides:
                side.steps(2, False)
            if sides[0].first_loss != sides[1].first_loss:
                print(f"# {name}: losses differ: {sides[0].first_loss}, {sides[1].first_loss}")
            count = 20 if name == "tiny-b1" else 1
            turns(table, "step", seconds / len(STEPS), limit, lambda side: {name: step_ms(sides[side], count, threads)})
            for side in sides:
                side.close()


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown processor"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs=2, metavar="BUILD", help="the old one, then the new one")
    parser.add_argument("--seconds", type=float, default=300, help="in all, about")
    parser.add_argument("--only", default="step,attention,index,products", help="some of these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=3, help="percent")
    arguments = parser.parse_args()
    builds, groups, limit = arguments.builds, arguments.only.split(","), arguments.limit / 100
    needed = {"step": "train_step", "attention": "attention", "index": "index_ops", "products": "linear"}
    missing = [program for program in (f"{build}/tests/bench_{needed[group]}" for build in builds for group in groups)
               if not os.access(program, os.X_OK)]
    if missing:
        print("not built: " + " ".join(missing), file=sys.stderr)
        return 2
    environment = dict(os.environ, DEMI_THREADS=str(arguments.threads))
    print(f"# {processor()}; threads: {arguments.threads}; load: {os.getloadavg()[0]:.1f}; {time.strftime('%Y-%m-%d')}")
    print(f"{'':<68}{'old ms':>10}{'new ms':>10}{'median':>8}{'paired':>8}{'fastest':>8}{'turns':>6}", flush=True)
    table, slower = Table(), []
    share = arguments.seconds / (len(groups) + ("step" in groups))  # the step's is twice the others'
    for group in groups:
        if group == "step":
            train_steps(table, builds, 2 * share, limit, arguments.threads)
        elif group == "attention":
            for shape in ATTENTION:
                turns(table, group, share / len(ATTENTION), limit, lambda side: attention(builds[side], shape, environment))
        else:
            pattern = INDEX if group == "index" else LINEAR
            turns(table, group, share, limit, lambda side: google(f"{builds[side]}/tests/bench_{needed[group]}", pattern, environment))
        slower += table.show(group, limit)
    print(f"# slower than {arguments.limit:g} %: " + (", ".join(" ".join(row) for row in slower) or "nothing"))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
