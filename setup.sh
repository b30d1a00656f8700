#!/bin/sh
# Installs what is missing, and prints what that is: .venv with the pinned packages, and from the
# distribution Icarus Verilog and the parts of Python that Debian ships apart. The Makefile calls
# this script. With the argument "browser" (make verify) the script also installs Chromium, which
# only the test of the report's page needs, and with "notebook" JupyterLab, which make notebook
# needs. pip's own variables say where Python packages come from.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}

# install PACKAGE...: installs with the system's package manager, or prints what to type.
install() {
  if [ "$(id -u)" = 0 ]; then as_root=
  elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as_root=sudo
  else as_root=none
  fi
  if [ "$as_root" = none ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "error: $* not found, and this user may not install it; type: sudo apt-get install $*" >&2
    exit 1
  fi
  echo "Installing with apt-get: $*"
  { $as_root apt-get -qq update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
  } >/dev/null || { echo "error: apt-get could not install $*; install it by hand" >&2; exit 1; }
}

command -v "$PYTHON" >/dev/null 2>&1 || install python3
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: $PYTHON is $("$PYTHON" --version 2>&1), expected Python 3.11 or newer; name one with PYTHON=" >&2
  exit 1
}
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
command -v iverilog >/dev/null 2>&1 || install iverilog
browser() {
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then return; fi
  done
  return 1
}
if [ "${1:-}" = browser ] && ! browser; then
  # Ubuntu's package is a snap, which cannot open this folder's files. Without a browser that test is
  # skipped.
  if grep -q '^ID=debian$' /etc/os-release 2>/dev/null; then
    (install chromium) || echo "No Chromium was installed: the test of the report's page will be skipped" >&2
  else echo "No Chromium or Chrome found: the test of the report's page will be skipped" >&2
  fi
fi

{ mkdir -p build && [ -w build ]; } 2>/dev/null || {
  echo "error: $PWD/build: cannot be written to, expected a folder that this user may write to" >&2
  exit 1
}
# pinned FILE WORDS...: prints what FILE pins and WORDS, and installs it, unless that was done since
# FILE changed.
pinned() {
  file=$1
  mark=.venv/installed${file#requirements}
  mark=${mark%.txt}
  shift
  if [ -e "$mark" ] && [ ! "$file" -nt "$mark" ]; then return; fi
  awk '/^# What these bring along/ { rest = 1 }
    /==/ { sub(/==.*/, ""); if (rest) others++; else names = names ", " $0 }
    END { printf "Installing into .venv: %s", substr(names, 3)
          print others ? ", and what these bring along (" others ")" : "" }' "$file"
  printf '%s\n' "$@"
  [ -x .venv/bin/pip ] || "$PYTHON" -m venv .venv
  .venv/bin/python -m pip --quiet --disable-pip-version-check install -r "$file" || {
    echo "error: pip could not install what $PWD/$file pins; pip's reason is printed above" >&2
    exit 1
  }
  touch "$mark"
}
pinned requirements.txt \
  "To download, unless pip has it: about 300 MB, and torch: 200 MB as a CPU build, several GB with CUDA." \
  "To choose another source: PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CONSTRAINT."
if [ "${1:-}" = notebook ]; then
  pinned requirements-notebook.txt "To download, unless pip has it: about 35 MB, with what JupyterLab brings along."
fi

# cocotb loads Python as a shared library into the simulator.
.venv/bin/python -c 'import sys, find_libpython; sys.exit(not find_libpython.find_libpython())' ||
  install "libpython$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
