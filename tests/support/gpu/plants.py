#!/usr/bin/env python3
"""Plants defects in the CUDA kernels, one at a time, and sees whether the emulated suite turns red.

    python3 tests/support/gpu/plants.py build-emu          # a build folder with -Dgpu_emulation=true, best with ASan

Each plant changes one line of a kernel, rebuilds test_ops, runs some test files with the device on cuda, and puts the
line back. Exit status 1 where a plant went unseen. Takes a minute or so for each.
"""
import os
import re
import subprocess
import sys

ATTENTION = 'ops/memory_efficient_attention/cuda/'
# kind, file, what is there, what is planted, test files
PLANTS = [
    ('out of bounds', ATTENTION + 'attention_mma_cuda.h',
     'const bool real = row < rows && column < size;', 'const bool real = row <= rows && column < size;',
     'attention_edge'),
    ('out of bounds', 'ops/scaled_index_add/scaled_index_add_cuda.cu',
     '* cut.side) * call.D + d,', '* cut.side) * call.D + d + 1,', 'scaled_index_add'),
    ('missing barrier', ATTENTION + 'attention_mma_cuda.h',
     'gpu::sync_threads();  // the tile is there, and the one before it is done with', '', 'attention_edge'),
    ('missing barrier', 'ops/rows/column_sums_cuda.cu',
     '        gpu::sync_threads();\n        sum = gpu::warp_sum', '        sum = gpu::warp_sum', 'layernorm'),
    ('missing barrier', 'ops/index_select_cat/index_select_cat_cuda.cu', 'tile.column * step;\n            gpu::sync_threads();',
     'tile.column * step;', 'index_select_cat'),
    ('missing barrier', 'ops/scaled_index_add/scaled_index_add_cuda.cu',
     'gpu::sync_threads();  // these products are there, and the other half is read', '', 'scaled_index_add'),
    ('missing wait', ATTENTION + 'attention_mma_cuda.h', '        gpu::cp_async_wait<0>();\n', '',
     'memory_efficient_attention'),
    ('unwritten output', ATTENTION + 'attention_forward_cuda.cu',
     'query >= at.first + at.rows) continue;', 'query + 1 >= at.first + at.rows) continue;', 'attention_edge'),
    ('unwritten output', 'ops/layernorm/layernorm_cuda.cu', '                write_values(dx + at, d, count, aligned);',
     '                if (at > 0) write_values(dx + at, d, count, aligned);', 'layernorm'),
    # the kernels for what sees all
    ('out of bounds', ATTENTION + 'attention_mma_cuda.h', 'for (; row < rows; row += step, to',
     'for (; row <= rows; row += step, to', 'memory_efficient_attention'),
    ('missing barrier', ATTENTION + 'attention_backward_kv_cuda.cu',
     'clear_blind(stage);\n                    gpu::sync_threads();', 'clear_blind(stage);', 'attention_edge'),
    ('missing wait', ATTENTION + 'attention_backward_q_cuda.cu',
     'read_results(at, row);\n            gpu::cp_async_wait<1>();', 'read_results(at, row);', 'memory_efficient_attention'),
    ('unwritten output', ATTENTION + 'attention_store_cuda.h', 'if (row < rows) gpu::store16', 'if (row + 1 < rows) gpu::store16',
     'memory_efficient_attention'),
    ('wrong fragment', ATTENTION + 'attention_fragments_cuda.h', 'gpu::ldmatrix_x4_trans(r,', 'gpu::ldmatrix_x4(r,',
     'memory_efficient_attention'),
    ('wrong fragment', ATTENTION + 'attention_fragments_cuda.h', 'l % 8 + l / 16 * 8) * (kSize + 8) + column + l / 8 % 2 * 8',
     'l % 16) * (kSize + 8) + column + l / 16 * 8', 'memory_efficient_attention'),
]


def attempt(build, path, old, new, tests):
    with open(path, encoding='utf-8') as f:
        source = f.read()
    if source.count(old) < 1:
        return 'NOT PLANTED: the line has changed'
    try:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(source.replace(old, new, 1))
        built = subprocess.run(['ninja', '-C', build, 'tests/test_ops'], capture_output=True, text=True)
        if built.returncode:
            return 'NOT BUILT: ' + built.stdout[-300:]
        environment = os.environ | {'DEMI_TEST_DEVICE': 'cuda', 'DEMI_TEST_QUICK': '1'}
        environment.setdefault('UBSAN_OPTIONS', 'halt_on_error=1')
        run = subprocess.run([build + '/tests/test_ops', '--no-intro', f'--source-file=*/ops/{tests}_test.cpp'],
                             capture_output=True, text=True, env=environment, errors='replace')
    finally:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(source)
    if run.returncode == 0:
        return 'UNSEEN'
    text = run.stdout + run.stderr
    for pattern in (r'ERROR: (AddressSanitizer: [\w-]+)', r'(\[gpu emulation\][^"\n]*)', r'ERROR: (CHECK\(.*)',
                    r'(runtime error: .*)'):
        found = re.search(pattern, text)
        if found:
            failed = re.search(r'test cases: .*?(\d+) failed', text)
            return f'seen: {found.group(1)[:90].strip()}' + (f' ({failed.group(1)} cases fail)' if failed else '')
    return f'seen: exit status {run.returncode}'


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build, only = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else ''
    failures = 0
    for kind, path, old, new, tests in PLANTS:
        if only not in kind + ' ' + path:
            continue
        result = attempt(build, path, old, new, tests)
        failures += not result.startswith('seen')
        print(f'{kind:18} {os.path.basename(path):32} {tests:18} {result}', flush=True)
    subprocess.run(['ninja', '-C', build, 'tests/test_ops'], capture_output=True)
    sys.exit(1 if failures else 0)


if __name__ == '__main__':
    main()
