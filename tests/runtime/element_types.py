"""A wrong element type is one compile error that lists the right ones.

usage: element_types.py ROOT COMPILER...
"""
import subprocess
import sys

root, compiler = sys.argv[1], sys.argv[2:]
WANTED = "a Tensor's elements are Half, BFloat16, float, double, int32_t, int64_t, uint8_t or bool"
CASES = {
    "": True,
    "t.data<int>(); t.to_vector<bool>(); demi::Tensor::from(std::vector<bool>{true}, {1});": True,
    "t.data<char>();": False,
    "t.mutable_data<unsigned>();": False,
    "t.data<const float>();": False,
    "t.to_vector<long double>();": False,
    "demi::Tensor::from(std::vector<long double>{1}, {1});": False,
    "demi::Tensor::from(std::vector<char>{1}, {1});": False,
    "demi::Tensor::from(std::span<const short>(), {0});": False,
}
failed = 0
print(f"1..{len(CASES)}")
for number, (use, good) in enumerate(CASES.items(), 1):
    code = '#include "runtime/tensor.h"\nvoid f(demi::Tensor& t) { (void)t; ' + use + " }\n"
    command = compiler + ["-std=c++20", "-fsyntax-only", "-I" + root, "-x", "c++", "-"]
    run = subprocess.run(command, input=code, text=True, capture_output=True)
    errors = run.stderr.count(" error: ")
    ok = run.returncode == 0 if good else errors == 1 and WANTED in run.stderr
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {use or 'the header'}", flush=True)
    if not ok:
        print(run.stderr, file=sys.stderr)
sys.exit(1 if failed else 0)
