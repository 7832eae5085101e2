"""Run a Python program; print its seconds and its largest resident memory.

A process of its own, and a small one: to the system a program's peak begins with the
memory of the process that started it.
"""

import json
import os
import subprocess
import sys
import time

KILO = 1024 if sys.platform == "linux" else 1  # bytes in the system's unit


def main() -> None:
    """Run the interpreter with the arguments of the command line."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *sys.argv[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    found = {
        "status": process.returncode,
        "seconds": time.perf_counter() - start,
        "bytes": usage.ru_maxrss * KILO,
        "last": lines[-1] if lines else "",
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
