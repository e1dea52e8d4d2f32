"""Counts the test cases in Meson's testlog.json; the last line is 'N passed, N failed, N skipped'.

usage: summarize.py TESTLOG [EXIT_STATUS_OF_MESON]
"""
import json
import re
import sys

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
TAP = re.compile(r"^(not )?ok \d+\b(.*)$")


def count(test):
    """(passed, failed, skipped) of one Meson test: its TAP lines, its own closing line, or itself."""
    lines = (test.get("stdout") or "").splitlines()
    good = test["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
    passed = failed = skipped = 0
    for line in lines:
        tap = TAP.match(line)
        if tap and tap.group(1):
            failed += 1
        elif tap and "# SKIP" in tap.group(2).upper():
            skipped += 1
        elif tap:
            passed += 1
    closing = CLOSING.match(lines[-1]) if lines else None
    if passed + failed + skipped == 0 and closing:
        passed, failed, skipped = (int(n or 0) for n in closing.groups())
    elif passed + failed + skipped == 0:
        skipped, passed = (1, 0) if test["result"] == "SKIP" else (0, 1 if good else 0)
    if not good and failed == 0:
        failed = 1  # crashed or timed out: the case that was running printed nothing
    return passed, failed, skipped


def main():
    total = [0, 0, 0]
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            counted = count(test)
            total = [a + b for a, b in zip(total, counted)]
            if counted[1]:
                print(f"FAILED {test['name']}: {counted[1]} of {sum(counted)} ({test['result']})")
                lines = (test.get("stdout") or "").splitlines()
                bad = [line for line in lines if line.startswith("not ok")] or lines[-3:]
                bad += (test.get("stderr") or "").splitlines()[-3:]
                print("\n".join("    " + line[:1000] for line in bad[:20]))
            elif counted[2]:
                print(f"skipped in {test['name']}: {counted[2]} of {sum(counted)}")
    if len(sys.argv) > 2 and sys.argv[2] != "0" and total[1] == 0:
        print("FAILED: the test runner itself, see above")
        total[1] = 1
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] or not total[0] else 0


sys.exit(main())
