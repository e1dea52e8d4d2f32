"""What goes wrong on several ranks: whatever it is, the job ends soon, with a status that is not 0 and one line that names the
rank and its machine; no rank is left; and the last checkpoint is whole. Prints TAP.

usage: failures.py PROGRAM_FOLDER [--quick]
"""
import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
import zlib

from jobs import MORE, Jobs, skip_without_mpi, write_pictures

# A job that was started in the background, or under nohup, hands on that it ignores these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

LONG = ["--shards", "4", "--steps", "100000"]
HOST = socket.gethostname()
QUICK = "--quick" in sys.argv


def write_png(path, shade):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = b"".join(b"\0" + bytes([shade % 256, y, shade // 256] * 8) for y in range(8))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b""))


def alive(pids):
    def state(pid):
        try:
            return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
        except OSError:
            return "Z"
    return [pid for pid in pids if state(pid) != "Z"]


def open_files(pid):
    def target(fd):
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            return ""  # closed meanwhile
    return [target(fd) for fd in os.listdir(f"/proc/{pid}/fd")]


class Tests(Jobs):
    def training(self, program="train_vit", ranks=4, options=(), environment=None):
        """A job that has saved once."""
        out = self.folder("run")
        words = [self.program(program), *self.small, *MORE[program], *LONG, *options, "--out", out]
        job = self.start([(ranks, words)], env={**os.environ, **(environment or {})})
        self.wait_for(os.path.join(out, "checkpoint.safetensors"), job)
        return job, self.ranks(job), out

    def ends(self, name, job, pids, out, texts, program="train_vit", more=""):
        """The job ends within 20 s; one line of the program has all the texts."""
        begin = time.time()
        status, _, err = self.finish(job, 40)
        while alive(pids) and time.time() - begin < 20:
            time.sleep(0.1)
        seconds, left = time.time() - begin, alive(pids)
        lines = [line for line in err.splitlines() if line.startswith(program + ":")]
        good = len(pids) > 1 and status != 0 and seconds < 20 and not left and len(lines) == 1
        good = good and all(t in lines[0] for t in texts) and not more
        self.case(name, good, f"{more} {len(pids)} ranks, exit {status}, {seconds:.1f} s, left {left}: {err}")

    def killed(self):
        for victim, ranks in [(0, 4), (3, 4), (1, 2)][:2 if QUICK else 3]:
            job, pids, out = self.training(ranks=ranks)
            if pids:
                os.kill(pids[victim], signal.SIGKILL)
            self.ends(f"rank {victim} of {ranks} is killed", job, pids, out, [f"rank {victim} on {HOST} has ended"])

    def stopped_by_the_system(self):
        for victim in [2] if QUICK else [0, 2]:
            job, pids, out = self.training(options=["--comm-timeout", "3"])
            if pids:
                os.kill(pids[victim], signal.SIGSTOP)
            self.ends(f"rank {victim} stands still for longer than --comm-timeout", job, pids, out,
                      ["has waited 3 s for", f"rank {victim} on {HOST}"])

    def launcher_killed(self):
        job, pids, out = self.training()
        job.kill()
        begin = time.time()
        job.communicate(timeout=60)
        while alive(pids) and time.time() - begin < 20:
            time.sleep(0.1)
        self.case("the launcher is killed: no rank is left", len(pids) == 4 and not alive(pids), alive(pids))

    def throws(self):
        """A rank that cannot write its files any more."""
        for victim in [0, 1]:
            job, pids, out = self.training(ranks=2)
            for path in open_files(pids[victim]) if pids else []:
                if path.endswith("metrics.jsonl"):  # at once: a folder that is emptied can get new files meanwhile
                    os.rename(os.path.dirname(path), os.path.join(self.work, "gone"))
                    shutil.rmtree(os.path.join(self.work, "gone"))
            self.ends(f"rank {victim} cannot write", job, pids, out, [f"(rank {victim} on {HOST})"])

    def unreadable(self):
        """A picture is gone when its turn comes: its rank says so, after rank 0 has saved for all."""
        folder, out = self.folder("pictures"), self.folder("run")
        for i in range(1500):  # too many at 512 x 512 to be read ahead
            name = os.path.join(folder, str(i % 2), f"{i}.png")
            os.makedirs(os.path.dirname(name), exist_ok=True)
            write_png(name, i)
        words = [self.program("train_vit"), "--data", folder, "--image-size", "512", "--patch", "128", "--dim", "16", "--depth", "1",
                 "--heads", "1", "--batch", "4", "--threads", "1", "--test-images", "2", "--save-every", "2", *LONG, "--out", out]
        job = self.start([(2, words)])
        self.wait_for(os.path.join(out, "checkpoint.safetensors"), job)
        pids = self.ranks(job)
        shutil.rmtree(os.path.join(folder, "1"))
        self.ends("a picture is gone: the rank that needs it says so", job, pids, out, [".png", f"on {HOST})"])
        steps = [json.loads(line)["step"] for line in open(os.path.join(out, "metrics.jsonl")).read().splitlines()]
        saved = json.load(open(os.path.join(out, "status.json")))["step"]
        self.case("and the steps so far are saved", saved >= steps[-1], f"{saved}, {steps[-3:]}")

    def signals(self):
        # Not SIGINT to the launcher: OpenMPI kills all one second later, saved or not.
        cases = [("train_vit", 4, 0, signal.SIGINT), ("train_vit", 4, 2, signal.SIGTERM), ("train_vit", 2, 1, signal.SIGHUP),
                 ("train_dinov2", 2, 1, signal.SIGINT), ("train_vit", 2, None, signal.SIGTERM)]
        for program, ranks, victim, which in cases[1::2] if QUICK else cases:
            job, pids, out = self.training(program, ranks)
            begin = time.time()
            if pids:
                os.kill(job.pid if victim is None else pids[victim], which)
            status, stdout, err = self.finish(job, 40)
            while alive(pids) and time.time() - begin < 20:  # the launcher may end before the last rank does
                time.sleep(0.1)
            state = json.load(open(os.path.join(out, "status.json")))
            step = json.loads(open(os.path.join(out, "metrics.jsonl")).read().splitlines()[-1])["step"]
            # The launcher sends SIGTERM for each of them.
            said = "SIGTERM" if victim is None else which.name
            good = status != 0 and f"stopped by {said}, saved at step {state['step']}" in stdout
            good = good and state["state"] == "interrupted" and step == state["step"] and stdout.count("saved at step") == 1
            good = good and not alive(pids) and time.time() - begin < 20
            self.case(f"{program}: {which.name} to {'the launcher' if victim is None else f'rank {victim} of {ranks}'} stops all at "
                      "the same step, saved once", good, f"exit {status}, {alive(pids)}, {state}, last {step}: {stdout[-400:-200]}")

    def asked_to_save(self):
        for victim in [2] if QUICK else [2, None]:
            job, pids, out = self.training()
            if pids:
                os.kill(job.pid if victim is None else pids[victim], signal.SIGUSR1)
                time.sleep(2)
                os.kill(pids[0], signal.SIGTERM)
            status, stdout, err = self.finish(job, 40)
            good = 1 <= stdout.count("as asked by SIGUSR1") <= 4 and "stopped by SIGTERM" in stdout
            self.case(f"SIGUSR1 to {'the launcher' if victim is None else 'rank 2'}: one checkpoint, and the run goes on", good,
                      stdout[-400:] + err)

    def refused(self, name, parts, texts, program="train_vit"):
        """Parts of the job: (ranks, program or path, options)."""
        out = self.folder("refused")
        command = []
        for ranks, path, options in parts:
            taken = ["--" + o[2:] for o in options if o.startswith("--")]
            small = [o for i, o in enumerate(self.small) if o not in taken and self.small[max(i - 1, 0)] not in taken]
            before = [path] if isinstance(path, str) else path
            before[-1] = self.program(before[-1]) if "/" not in before[-1] else before[-1]
            command.append((ranks, [*before, *small, *MORE[program], "--steps", "2", *options, "--out", out]))
        begin = time.time()
        status, _, err = self.finish(self.start(command), 60)
        lines = [line for line in err.splitlines() if program + ":" in line]
        good = status != 0 and len(lines) == 1 and all(t in lines[0] for t in texts) and not os.path.exists(out)
        self.case(f"refused in one line: {name}", good and time.time() - begin < 20, f"exit {status}: {err}")

    def ranks_that_differ(self):
        vit = "train_vit"
        self.refused("another --lr on one rank", [(1, vit, []), (1, vit, ["--lr", "0.5"])],
                     ["lr '0.002'", "rank 0", "'0.5' on rank 1", HOST])
        self.refused("other steps on two ranks", [(2, vit, ["--shards", "4"]), (2, vit, ["--shards", "4", "--save-every", "7"])],
                     ["save_every", "'7' on rank 2", "'7' on rank 3"])
        self.refused("an unknown flag on one rank", [(1, vit, []), (1, vit, ["--no-such-flag"])], ["no-such-flag"])
        other = self.folder("others")
        write_pictures(other, seed=2)
        link = self.folder("link")
        self.refused("other pictures", [(1, vit, []), (1, vit, ["--data", other])], ["fingerprint", "rank 1"])
        shutil.rmtree(link, ignore_errors=True)
        self.refused("no data on one rank", [(1, vit, []), (1, vit, ["--data", "no-such-folder"])], ["no-such-folder", "rank 1 on " + HOST])
        copy = os.path.join(self.work, "train_vit")
        data = open(self.program(vit), "rb").read()
        version = self.finish(self.start([self.program(vit), "--version"]))[1].split()[-1]
        open(copy, "wb").write(data.replace(version.encode() + b"\0", version[:-1].encode() + b"9\0"))
        os.chmod(copy, 0o755)
        self.refused("another version", [(1, vit, []), (1, copy, [])], [f"version '{version}' on rank 0", f"'{version[:-1]}9' on rank 1"])
        os.remove(copy)
        self.refused("two programs", [(1, vit, []), (1, ["train_dinov2"], [])], ["rank 1"])
        self.refused("a rank without a place for its files", [(1, vit, []), (1, ["env", "TMPDIR=/no-such-folder", vit], [])],
                     ["rank 1 on " + HOST])

    def numbers_that_do_not_fit(self):
        vit = "train_vit"
        for name, options, text in [
                ("a batch that does not divide", ["--shards", "16"], "multiple of --shards"),
                ("shards that do not divide", ["--shards", "3"], "multiple of the number of ranks"),
                ("more pictures in a batch than there are", ["--batch", "1024", "--shards", "4"], "must not exceed"),
                ("more ranks than pictures", ["--train-images", "1"], "must not exceed"),
                ("no data", ["--data", "no-such-folder"], "no-such-folder"),
                ("a wrong flag", ["--shard", "half"], "half")]:
            self.refused(name, [(2, vit, options)], [text])
        self.refused("a batch that does not divide, 4 ranks", [(4, "train_dinov2", ["--batch", "22"])], ["multiple of --shards"],
                     "train_dinov2")

    def narrowest(self):
        """Ranks of different instruction sets compute with the narrowest."""
        best = self.finish(self.start([self.program("train_vit"), *self.small, "--steps", "1", "--out", self.folder("one")]))
        if best[0] or os.uname().machine != "x86_64":
            return
        options = [*self.small, "--steps", "4", "--shards", "2"]
        one, two = self.folder("one"), self.folder("two")
        path = self.program("train_vit")
        self.finish(self.start(["env", "DEMI_ISA=baseline", path, *options, "--out", one]))
        _, stdout, err = self.finish(self.start([(1, [path, *options, "--out", two]),
                                                 (1, ["env", "DEMI_ISA=baseline", path, *options, "--out", two])]))
        same = all(open(os.path.join(one, f), "rb").read() == open(os.path.join(two, f), "rb").read()
                   for f in ["checkpoint.safetensors", "metrics.jsonl"]) if os.path.exists(two) else False
        said = "instruction set baseline, the narrowest of the ranks on rank 1" in stdout
        self.case("ranks of two instruction sets take the narrower, and say so", same and said, stdout[:500] + err)

    def all(self):
        self.killed()
        self.stopped_by_the_system()
        self.launcher_killed()
        self.throws()
        self.unreadable()
        self.signals()
        self.asked_to_save()
        self.ranks_that_differ()
        self.numbers_that_do_not_fit()
        self.narrowest()
        return self.end()


if not skip_without_mpi("failures of ranks"):
    sys.exit(Tests(sys.argv[1]).all())
