#!/usr/bin/env bash
# Scan the tree in the working directory by a policy that the proposed change has no hand in.
#
# usage: check.sh PYTHON FOLDER SARIF
#   PYTHON  interpreter of the environment that install.sh made
#   FOLDER  folder outside of the tree, where the policy is put
#   SARIF   file that the results are written to
#
# Settings are environment variables, so that no text of a change is ever a part of a command:
#   BASE_REPOSITORY, BASE_REF    URL and ref (or commit) on which the change is based
#   POLICY_REPOSITORY            URL of a central repository that has the policy instead
#   POLICY_REF                   ref there; its HEAD if empty
#   POLICY_USER, POLICY_TOKEN    for git over HTTPS, if the repository with the policy is private
#   POLICY_TRUST                 trust folder in that repository; without a policy nobody is trusted, and nobody verified
#   POLICY_BASELINE              baseline file in that repository, if there is one
#   SCAN_PATHS                   what is scanned, one path on each line; everything if empty
#   SCAN_FAIL_ON                 what fails the check; what `safemodel scan` says if empty
#
# The exit code is that of `safemodel scan`, and 4 if the policy is not to be had.
set -euo pipefail

refuse() {
  printf 'safemodel: error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 4
}

fetch() {
  if [ -n "${POLICY_TOKEN:-}" ]; then # in the environment, since everybody may read a process's arguments
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$1.extraheader" GIT_CONFIG_VALUE_0
    GIT_CONFIG_VALUE_0="authorization: basic $(printf '%s:%s' "$POLICY_USER" "$POLICY_TOKEN" | base64 | tr -d '\n')"
  fi
  git init --quiet --bare "$policy/repository"
  GIT_TERMINAL_PROMPT=0 git -C "$policy/repository" fetch --quiet --depth=1 --no-tags -- "$1" "$2"
}

stored() { # whether the policy's repository has a file (blob) or a folder (tree) of that name
  [ "$(git -C "$policy/repository" cat-file -t "FETCH_HEAD:$2" 2>/dev/null)" = "$1" ]
}

python=$1
sarif=$3
policy=$(mktemp -d "$2/policy.XXXXXX")
repository=${POLICY_REPOSITORY:-$BASE_REPOSITORY}
ref=$BASE_REF
[ -z "${POLICY_REPOSITORY:-}" ] || ref=${POLICY_REF:-HEAD}
rm -f -- "$sarif" # not one of an earlier check, nor a link that the change has put there
arguments=(--sarif "$sarif")
[ -z "${SCAN_FAIL_ON:-}" ] || arguments+=(--fail-on "$SCAN_FAIL_ON")

(fetch "$repository" "$ref") || refuse "the policy is not to be had from $repository, $ref" \
  "there must be such a ref, and the token must reach the repository"
unset POLICY_TOKEN
if [ -n "$POLICY_TRUST" ]; then
  stored tree "$POLICY_TRUST" || refuse "there is no folder $POLICY_TRUST in $repository, $ref" \
    "merge a trust folder in a change of its own first"
  mkdir "$policy/trust"
  git -C "$policy/repository" archive --format=tar "FETCH_HEAD:$POLICY_TRUST" | tar -x -C "$policy/trust"
  arguments+=(--trust "$policy/trust")
fi
if [ -n "${POLICY_BASELINE:-}" ]; then
  stored blob "$POLICY_BASELINE" || refuse "there is no file $POLICY_BASELINE in $repository, $ref" \
    "merge a baseline in a change of its own first"
  git -C "$policy/repository" cat-file blob "FETCH_HEAD:$POLICY_BASELINE" >"$policy/baseline"
  arguments+=(--baseline "$policy/baseline")
fi

paths=()
while IFS= read -r path; do
  [ -z "$path" ] || paths+=("$path")
done <<<"${SCAN_PATHS:-.}"
exec "$python" -I -m safemodel scan "${arguments[@]}" -- "${paths[@]}"
