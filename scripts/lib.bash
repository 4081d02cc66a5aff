# shellcheck shell=bash
# What the scripts share: where things are cached, how a missing program is installed, phases with times.
# Sourced, never run.

# shellcheck disable=SC2034 # for the scripts that source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meltemi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

say() { printf '\n== %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# phase NAME COMMAND…: run it, then say how long it took. It returns the command's own status.
phase() {
  local name=$1 start=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  if ((status == 0)); then
    printf -- '-- %s: %ds\n' "$name" "$((SECONDS - start))" >&2
  else
    printf -- '-- %s: FAILED after %ds\n' "$name" "$((SECONDS - start))" >&2
  fi
  return "$status"
}

# need PROGRAM PACKAGE…: the distribution's packages, unless the program is there.
need() {
  local program=$1
  shift
  have "$program" && return
  have apt-get || die "$program is missing; install it (on Debian and Ubuntu: $*)"
  local sudo=()
  if ((EUID != 0)); then
    have sudo || die "$program is missing and needs root to install: apt-get install $*"
    sudo=(sudo)
  fi
  say "installing $*"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}
