#!/usr/bin/env python3
"""Simulates to the end, and takes the last test case out of the results."""

import os
import subprocess
import sys
from xml.etree import ElementTree


def main() -> None:
    subprocess.run([os.environ["REAL"], *sys.argv[1:]], check=True)
    results = ElementTree.parse(os.environ["COCOTB_RESULTS_FILE"])
    suite = next(results.iter("testsuite"))
    suite.remove(suite.findall("testcase")[-1])
    results.write(os.environ["COCOTB_RESULTS_FILE"])


if __name__ == "__main__":
    main()
