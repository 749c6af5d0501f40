#!/usr/bin/env bash
# Makes the oracle's Python environment in .venv, once per change of requirements.txt.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
requirements=$root/tests/oracle/requirements.txt
installed=$root/.venv/requirements.installed

if cmp -s "$requirements" "$installed" && "$root/.venv/bin/python" -c 'import pymysql, psycopg, pymongo, pymssql' 2>/dev/null; then
    exit 0
fi
# Debian's python3 has no ensurepip unless python3-venv is there.
python3 -c 'import ensurepip, venv' 2>/dev/null || "$root/tests/servers.sh" install python3 python3-venv
rm -rf "$root/.venv"
python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
cp "$requirements" "$installed"
