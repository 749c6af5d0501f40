#!/usr/bin/env bash
# Chromium, Node and the libraries that drive it, for the tests of the dashboard; once per change of package-lock.json.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/tests/browser
installed=$folder/node_modules/.lock-installed

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[ ${#missing[@]} -eq 0 ] || "$root/tests/servers.sh" install "${missing[@]}"
cmp -s "$folder/package-lock.json" "$installed" && exit 0
(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
cp "$folder/package-lock.json" "$installed"
