#!/usr/bin/env bash
# Make the virtual environment: venv.sh PYTHON FOLDER
set -euo pipefail
python=$1 folder=$2
if ! "$python" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null; then
    echo "carina: expected Python 3.11 to 3.13 as '$python', found $("$python" --version 2>&1 || echo none)." >&2
    echo "carina: install it (Debian: apt-get install python3 python3-venv) or: make PYTHON=python3.11 demo" >&2
    exit 1
fi
if ! "$python" -m venv "$folder"; then
    echo "carina: '$python -m venv' failed. On Debian: apt-get install python3-venv, then try again." >&2
    rm -rf "$folder"
    exit 1
fi
