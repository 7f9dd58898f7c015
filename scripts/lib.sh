# shellcheck shell=bash
# What the scripts share: one way to print a step, to fail with a remedy, to run a command as root, and the paths.
# Sourced, never run. Every script starts with `set -euo pipefail` and `. scripts/lib.sh` from the repository's root.

step() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# Absolute, so that it can be handed to a program that runs in another folder.
target_dir() { realpath -m "${CARGO_TARGET_DIR:-target}"; }

# as_root COMMAND...: shows the command, then runs it as root, its output only on failure. Never asks for a password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    note "\$ $*"
    quietly "$@"
  else
    note "\$ sudo $*"
    quietly sudo -n "$@"
  fi
}
may_be_root() { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }

# quietly COMMAND...: prints the command's output only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

# hash_of PATH...: one digest over names and contents, without what tools generate.
hash_of() {
  find "$@" -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/out/*' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}
