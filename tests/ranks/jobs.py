"""What the programs here share: jobs of several ranks, small data, and cases that print TAP."""
import glob
import os
import random
import shutil
import subprocess
import tempfile
import time

MODEL = ["--dim", "24", "--depth", "2", "--heads", "2", "--batch", "24", "--log-every", "1", "--save-every", "3", "--drop-path", "0.2",
         "--threads", "1"]
MORE = {"train_vit": ["--ema", "0.9"],
        "train_dinov2": ["--ibot-weight", "1", "--ibot-head", "--prototypes", "32", "--head-hidden", "32", "--bottleneck", "16",
                         "--no-linear-probe", "--eval-every", "40"]}


def skip_without_mpi(name):
    if shutil.which("mpirun"):
        return False
    print(f"ok 1 - {name} # SKIP no mpirun (Debian: openmpi-bin)\n1..1")
    return True


def mpirun(*options):
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return ["mpirun", "-q", *root, "--oversubscribe", "--bind-to", "none", *options]


class Jobs:
    def __init__(self, programs):
        self.programs = programs
        self.count = self.failed = 0
        self.work = tempfile.mkdtemp(prefix="demi-ranks-")
        self.data = os.path.join(self.work, "data")
        write_pictures(self.data)
        self.small = ["--data", self.data, *MODEL]

    def case(self, name, good, why=""):
        self.count += 1
        self.failed += not good
        why = " ".join(str(why).split())[-600:]
        print(f"{'' if good else 'not '}ok {self.count} - {name}{'' if good else ' # ' + why}", flush=True)

    def end(self):
        print(f"1..{self.count}")
        shutil.rmtree(self.work, ignore_errors=True)
        return self.failed > 0

    def program(self, name):
        return os.path.join(self.programs, name)

    def start(self, command, **more):
        """A list of words, or of (ranks, words) for ranks that differ."""
        if isinstance(command[0], tuple):
            words = []
            for ranks, part in command:
                words += [":"] * bool(words) + ["-np", str(ranks), *part]
            command = mpirun(*words)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def run(self, ranks, program, *options, timeout=240):
        """0 ranks: without a launcher."""
        words = [self.program(program), *options]
        return self.finish(self.start([(ranks, words)] if ranks else words), timeout)

    def finish(self, job, timeout=240):
        try:
            out, err = job.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for rank in self.ranks(job):
                os.kill(rank, 9)
            job.kill()
            job.communicate()
            return 124, "", "it hangs"
        return job.returncode, out, err

    @staticmethod
    def ranks(job):
        """The processes that mpirun started, rank 0 first."""
        found = []
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                fields = open(path).read().rpartition(")")[2].split()
                pid = int(path.split("/")[2])
                environment = open(f"/proc/{pid}/environ").read().split("\0") if int(fields[1]) == job.pid else []
            except (OSError, ValueError):
                continue
            found += [(int(e.split("=")[1]), pid) for e in environment if e.startswith("OMPI_COMM_WORLD_RANK=")]
        return [pid for _, pid in sorted(found)]

    def wait_for(self, path, job, seconds=120):
        begin = time.time()
        while not os.path.exists(path) and time.time() - begin < seconds and job.poll() is None:
            time.sleep(0.02)

    def folder(self, name):
        path = os.path.join(self.work, name)
        shutil.rmtree(path, ignore_errors=True)
        return path


def write_pictures(folder, train=96, test=40, seed=1):
    """CIFAR-10's format: a class and 32 x 32 x 3 bytes a picture."""
    draw = random.Random(seed)
    os.makedirs(folder)
    for part, count in [("data_batch_1", train), ("test_batch", test)]:
        with open(os.path.join(folder, part + ".bin"), "wb") as f:
            for i in range(count):
                f.write(bytes([i % 10]) + draw.randbytes(3072))
