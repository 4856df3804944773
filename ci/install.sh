#!/usr/bin/env bash
# Install safemodel from the checkout that this script is in, into a virtual environment that nothing else uses.
#
# usage: install.sh VENV
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# -I is for one process; those that pip starts would look where these say, which may be the tree that is judged.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP
python3 -I -m venv "$1"
"$1/bin/python" -I -m pip --disable-pip-version-check install --quiet "$checkout"
