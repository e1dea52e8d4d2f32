"""What processor this is, and its caches: for the tables of measured figures."""
import glob


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def processor():
    """'Intel(R) Xeon(R) Processor (family 6, model 207; avx512_bf16 avx512_fp16; L1d 48K, L2 2048K, L3 266240K)'"""
    fields = dict(line.split(":", 1) for line in read("/proc/cpuinfo").split("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    sets = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if flag in fields.get("flags", "").split()]
    caches = []
    for folder in sorted(glob.glob("/sys/devices/system/cpu/cpu0/cache/index*/")):
        level, kind, size = (read(folder + name).strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            caches.append(f"L{level}{'d' if kind == 'Data' else ''} {size}")
    return (f"{fields.get('model name', 'a processor without a name')} (family {fields.get('cpu family', '?')}, "
            f"model {fields.get('model', '?')}; {' '.join(sets)}; {', '.join(caches)})")


if __name__ == "__main__":
    print(processor())
