"""The trainers on several ranks: the same bytes on any number of them, whatever they share out; killed and continued; and
what goes wrong said in one line. Prints TAP.

usage: trainers.py PROGRAM_FOLDER [--quick]
"""
import hashlib
import os
import re
import shutil
import signal
import sys
import time

from jobs import MORE, Jobs, skip_without_mpi, write_pictures

FILES = {"train_vit": ["checkpoint.safetensors", "model.safetensors", "metrics.jsonl"],
         "train_dinov2": ["checkpoint.safetensors", "teacher.safetensors", "metrics.jsonl"]}


class Tests(Jobs):
    def __init__(self, programs, quick):
        super().__init__(programs)
        self.quick = quick

    def bytes_of(self, program, path):
        try:
            return [hashlib.sha256(open(os.path.join(path, f), "rb").read()).hexdigest() for f in FILES[program]]
        except OSError as error:
            return str(error)

    def same_bytes(self, program, precision, modes, ranks):
        """Every mode on every number of ranks against one rank without a launcher."""
        options = [*self.small, *MORE[program], "--precision", precision, "--shards", "4", "--steps", "5"]
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
        """A rank is killed with -9; another number of ranks goes on to the same bytes."""
        options = [*self.small, *MORE[program], "--shards", "4", "--steps", "400", "--shard", mode]
        out, whole = self.folder("killed"), self.folder("whole")
        job = self.start([(ranks, [self.program(program), *options, "--out", out])])
        checkpoint = os.path.join(out, "checkpoint.safetensors")
        self.wait_for(checkpoint, job)
        time.sleep(0.3)
        victims = self.ranks(job)
        if victims:
            os.kill(victims[len(victims) // 2], signal.SIGKILL)
        self.finish(job, 60)
        goal = str((self.step_of(checkpoint) // 3 + 2) * 3)
        options = [goal if o == "400" else o for o in options]
        config = os.path.join(out, "config.json")
        text = open(config).read().replace('"steps": 400', f'"steps": {goal}')
        open(config, "w").write(text)
        # The schedule knows the number of steps: an unbroken run of the same number cannot be had, so two continuations
        # of one checkpoint are compared.
        shutil.copytree(out, whole)
        status, _, err = self.run(then, program, *options, "--resume", "--out", out)
        again, _, more = self.run(1, program, *options, "--resume", "--out", whole)
        same = status == again == 0 and self.bytes_of(program, out) == self.bytes_of(program, whole)
        self.case(f"{program} {mode}: one of {ranks} ranks is killed, {then} continue as one does", same, err + more or "other bytes")

    @staticmethod
    def step_of(checkpoint):
        with open(checkpoint, "rb") as f:
            header = f.read(int.from_bytes(f.read(8), "little")).decode()
        return int(re.search(r'"step":"(\d+)"', header).group(1))

    def continued(self, program, mode):
        """Stopped by a signal to one rank at whatever step; another number of ranks ends with the bytes of no break."""
        options = [*self.small, *MORE[program], "--shards", "4", "--steps", "40", "--shard", mode]
        whole, out = self.folder("unbroken"), self.folder("stopped")
        self.run(1, program, *options, "--out", whole)
        job = self.start([(2, [self.program(program), *options, "--out", out])])
        self.wait_for(os.path.join(out, "checkpoint.safetensors"), job)
        victims = self.ranks(job)
        if victims:
            os.kill(victims[-1], signal.SIGTERM)
        _, stdout, err = self.finish(job, 120)
        stopped = "stopped by SIGTERM" in stdout
        self.case(f"{program} {mode}: SIGTERM to one rank stops both, and saves", job.returncode != 0 and stopped, err + stdout)
        status, _, err = self.run(4, program, *options, "--resume", "--out", out)
        same = status == 0 and self.bytes_of(program, out) == self.bytes_of(program, whole)
        self.case(f"{program} {mode}: 4 ranks continue to the bytes of no break", same, err or "other bytes")

    def whole_runs(self, program, options):
        """To the end, with the best parameters kept, the report of the boundary and the evaluations: the same on 1, 2, 4."""
        outputs = []
        for count in [0, 2, 4]:
            out = self.folder(f"whole{count}")
            status, stdout, err = self.run(count, program, *self.small, *MORE[program], "--shards", "4", "--boundary-report", *options,
                                           "--out", out)
            table = [line.strip() for line in stdout.splitlines() if re.match(r"(site|student|model|evaluation)\b.* ", line)]
            files = self.bytes_of(program, out)
            best = os.path.join(out, "best.safetensors")
            if os.path.exists(best):
                files.append(hashlib.sha256(open(best, "rb").read()).hexdigest())
            outputs.append((status, table, files, err))
        good = all(o[:3] == outputs[0][:3] for o in outputs) and outputs[0][0] == 0 and len(outputs[0][1]) > 5
        self.case(f"{program} {' '.join(options)}: the same files and the same boundary report", good and "--keep-best" not in options or
                  good and len(outputs[0][2]) == 4, outputs)

    def own_model(self):
        outputs = {n: self.run(n, "ranks") for n in [0, 1, 2, 4]}
        same = len({out for _, out, _ in outputs.values()}) == 1 and outputs[0][1].count("loss") == 4
        self.case("a model of one's own: the same losses on 1, 2 and 4 ranks", same, str(outputs))

    def all(self):
        modes = ["none", "grad_op", "full"]
        for program in FILES:
            self.same_bytes(program, "f32", modes, [2, 4])
            for precision in ["bf16", "f16"]:
                self.same_bytes(program, precision, ["full"] if self.quick else modes, [4] if self.quick else [1, 2, 4])
        self.own_model()
        val = self.folder("val")
        write_pictures(val, seed=3)
        self.whole_runs("train_vit", ["--epochs", "3", "--keep-best", "--val", val])
        self.whole_runs("train_vit", ["--epochs", "3", "--keep-best", "--val", val, "--shard", "full", "--lr", "0.1"])
        self.whole_runs("train_dinov2", ["--steps", "6", "--shard", "grad_op"])
        self.continued("train_vit", "none")
        self.continued("train_dinov2", "full")
        self.killed("train_vit", "full", 4, 2)
        self.killed("train_dinov2", "grad_op", 2, 4)
        return self.end()


if not skip_without_mpi("the trainers on several ranks"):
    sys.exit(Tests(sys.argv[1], "--quick" in sys.argv).all())
