"""The trainers on several ranks: the same bytes on any number of them, whatever they share out; killed and continued; and
what goes wrong said in one line. Prints TAP.

usage: trainers.py PROGRAM_FOLDER [--quick]
"""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FILES = {"train_vit": ["checkpoint.safetensors", "model.safetensors", "metrics.jsonl"],
         "train_dinov2": ["checkpoint.safetensors", "teacher.safetensors", "metrics.jsonl"]}
SMALL = ["--train-images", "96", "--test-images", "40", "--dim", "24", "--depth", "2", "--heads", "2", "--batch", "24",
         "--log-every", "1", "--save-every", "3", "--drop-path", "0.2", "--threads", "1"]
MORE = {"train_vit": ["--ema", "0.9"],
        "train_dinov2": ["--ibot-weight", "1", "--ibot-head", "--prototypes", "32", "--head-hidden", "32",
                         "--bottleneck", "16", "--no-linear-probe", "--eval-every", "40"]}


class Tests:
    def __init__(self, programs, quick):
        self.programs, self.quick = programs, quick
        self.count = self.failed = 0
        self.work = tempfile.mkdtemp(prefix="demi-ranks-")

    def case(self, name, good, why=""):
        self.count += 1
        self.failed += not good
        print(f"{'' if good else 'not '}ok {self.count} - {name}{'' if good else ' # ' + why.strip()[-400:]}", flush=True)

    def start(self, ranks, program, *options):
        command = [os.path.join(self.programs, program), *options]
        if ranks:
            root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
            command = ["mpirun", "-q", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *command]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, ranks, program, *options, timeout=240):
        job = self.start(ranks, program, *options)
        try:
            out, err = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            job.kill()
            return 124, "", "it hangs"
        return job.returncode, out, err

    def folder(self, name):
        path = os.path.join(self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def bytes_of(self, program, path):
        try:
            return [hashlib.sha256(open(os.path.join(path, f), "rb").read()).hexdigest() for f in FILES[program]]
        except OSError as error:
            return str(error)

    def same_bytes(self, program, precision, modes, ranks):
        """Every mode on every number of ranks against one rank without a launcher."""
        options = [*SMALL, *MORE[program], "--precision", precision, "--shards", "4", "--steps", "5"]
        one = self.folder("one")
        status, _, err = self.run(0, program, *options, "--out", one)
        expected = self.bytes_of(program, one)
        self.case(f"{program} {precision}: one rank, four shards", status == 0 and isinstance(expected, list), err)
        for mode in modes:
            for count in ranks:
                out = self.folder("several")
                status, _, err = self.run(count, program, *options, "--shard", mode, "--out", out)
                same = status == 0 and self.bytes_of(program, out) == expected
                self.case(f"{program} {precision}: {mode} on {count} ranks, the same bytes", same, err or "other bytes")

    def killed(self, program, mode, ranks, then):
        """A rank is killed; the rest ends soon and says who; another number of ranks goes on to the same bytes."""
        options = [*SMALL, *MORE[program], "--shards", "4", "--steps", "400", "--shard", mode]
        out, whole = self.folder("killed"), self.folder("whole")
        job = self.start(ranks, program, *options, "--out", out)
        checkpoint = os.path.join(out, "checkpoint.safetensors")
        begin = time.time()
        while not os.path.exists(checkpoint) and time.time() - begin < 120 and job.poll() is None:
            time.sleep(0.02)
        children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
        if children:
            os.kill(int(children[-1]), signal.SIGKILL)
        killed = time.time()
        try:
            _, err = job.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            job.kill()
            err = "it hangs"
        seconds = time.time() - killed
        self.case(f"{program} {mode}: a killed rank ends the job of {ranks} within 20 s", job.returncode != 0 and seconds < 20,
                  f"{seconds:.1f} s, exit {job.returncode}: {err}")
        step = self.step_of(checkpoint)
        goal = str((step // 3 + 2) * 3)
        options = [goal if o == "400" else o for o in options]
        rewrite = os.path.join(out, "config.json")
        text = open(rewrite).read().replace('"steps": 400', f'"steps": {goal}')
        open(rewrite, "w").write(text)
        # The schedule knows the number of steps: an unbroken run of the same number cannot be had, so two continuations
        # of one checkpoint are compared.
        shutil.copytree(out, whole)
        status, _, err = self.run(then, program, *options, "--resume", "--out", out)
        again, _, more = self.run(1, program, *options, "--resume", "--out", whole)
        same = status == again == 0 and self.bytes_of(program, out) == self.bytes_of(program, whole)
        self.case(f"{program} {mode}: {then} ranks continue as one does", same, err + more or "other bytes")

    @staticmethod
    def step_of(checkpoint):
        with open(checkpoint, "rb") as f:
            header = f.read(int.from_bytes(f.read(8), "little")).decode()
        return int(re.search(r'"step":"(\d+)"', header).group(1))

    def continued(self, program, mode):
        """Stopped by a signal to one rank at whatever step; another number of ranks ends with the bytes of no break."""
        options = [*SMALL, *MORE[program], "--shards", "4", "--steps", "40", "--shard", mode]
        whole, out = self.folder("unbroken"), self.folder("stopped")
        self.run(1, program, *options, "--out", whole)
        job = self.start(2, program, *options, "--out", out)
        begin = time.time()
        while not os.path.exists(os.path.join(out, "checkpoint.safetensors")) and time.time() - begin < 120:
            time.sleep(0.02)
        children = subprocess.run(["pgrep", "-P", str(job.pid)], capture_output=True, text=True).stdout.split()
        if children:
            os.kill(int(children[-1]), signal.SIGTERM)
        stdout, err = job.communicate(timeout=120)
        stopped = "stopped by SIGTERM" in stdout
        self.case(f"{program} {mode}: SIGTERM to one rank stops both, and saves", job.returncode != 0 and stopped, err + stdout)
        status, _, err = self.run(4, program, *options, "--resume", "--out", out)
        same = status == 0 and self.bytes_of(program, out) == self.bytes_of(program, whole)
        self.case(f"{program} {mode}: 4 ranks continue to the bytes of no break", same, err or "other bytes")

    def own_model(self):
        outputs = {n: self.run(n, "ranks") for n in [0, 1, 2, 4]}
        same = len({out for _, out, _ in outputs.values()}) == 1 and outputs[0][1].count("loss") == 4
        self.case("a model of one's own: the same losses on 1, 2 and 4 ranks", same, str(outputs))

    def refused(self, name, ranks, program, options, text):
        out = self.folder("refused")
        small = [o for i, o in enumerate(SMALL) if "--batch" not in options or "--batch" not in SMALL[max(i - 1, 0):i + 1]]
        status, _, err = self.run(ranks, program, *small, *MORE[program], "--steps", "2", *options, "--out", out, timeout=60)
        lines = [line for line in err.splitlines() if program + ":" in line]
        good = status != 0 and len(lines) == 1 and text in lines[0] and not os.path.exists(out)
        self.case(f"refused in one line: {name}", good, f"exit {status}: {err}")

    def all(self):
        modes = ["none", "grad_op", "full"]
        for program in FILES:
            self.same_bytes(program, "f32", modes, [2, 4])
            for precision in ["bf16", "f16"]:
                self.same_bytes(program, precision, ["full"] if self.quick else modes, [4] if self.quick else [1, 2, 4])
        self.own_model()
        self.continued("train_vit", "none")
        self.continued("train_dinov2", "full")
        self.killed("train_vit", "full", 4, 2)
        self.killed("train_dinov2", "grad_op", 2, 4)
        self.refused("a batch that does not divide", 2, "train_vit", ["--shards", "16"], "multiple of --shards")
        self.refused("shards that do not divide", 2, "train_vit", ["--shards", "3"], "multiple of the number of ranks")
        self.refused("more pictures in a batch than there are", 2, "train_vit", ["--batch", "1024", "--shards", "4"],
                     "must not exceed")
        self.refused("no data", 2, "train_vit", ["--data", "no-such-folder"], "no-such-folder")
        self.refused("a wrong flag", 2, "train_vit", ["--shard", "half"], "half")
        print(f"1..{self.count}")
        shutil.rmtree(self.work, ignore_errors=True)
        return self.failed > 0


def main():
    if not shutil.which("mpirun"):
        print("ok 1 - the trainers on several ranks # SKIP no mpirun (Debian: openmpi-bin)\n1..1")
        return 0
    return Tests(sys.argv[1], "--quick" in sys.argv).all()


sys.exit(main())
