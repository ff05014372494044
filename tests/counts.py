#!/usr/bin/env python3
"""A table of test binaries, their tests and their seconds, from the output of `cargo test`:

    cargo test --workspace --locked 2>&1 | python3 tests/counts.py
"""

import re
import sys

rows, name = [], "?"
for line in sys.stdin:
    if running := re.match(r"\s*(?:Running (?:unittests )?(\S+)(?: \((\S+)\))?|Doc-tests (\S+))", line):
        source, binary, documented = running.groups()
        crate = re.sub(r"-[0-9a-f]{16}$", "", (binary or "").rsplit("/", 1)[-1])
        name = f"{documented}, examples in the docs" if documented else f"{crate} ({source})"
    elif result := re.match(r"test result: (\w+)\. (\d+) passed; (\d+) failed; (\d+) ignored.*finished in ([\d.]+)s", line):
        _, passed, failed, ignored, seconds = result.groups()
        rows.append((float(seconds), name, int(passed), int(failed), int(ignored)))

print("| tests | seconds | failed | ignored | binary |\n|---|---|---|---|---|")
for seconds, name, passed, failed, ignored in sorted(rows, reverse=True):
    if passed or failed or ignored:
        print(f"| {passed} | {seconds:.1f} | {failed} | {ignored} | {name} |")
total = [sum(row[column] for row in rows) for column in (2, 0, 3, 4)]
print(f"| {total[0]} | {total[1]:.1f} | {total[2]} | {total[3]} | all |")
