# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Sourced by the scripts in this directory: counts checks, and prints the last line that tests/run reads. `root` is the
# project's directory, `work` a temporary directory that is removed at the end.

export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034 # for the scripts that source this one
mapfile -t parts < <(grep -v '^#' "$root/tests/parts") # of the library
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

checks=0
failed=0

# check WHAT COMMAND...: counts one check. If the command fails, prints its output.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    if ! "$@" >"$work/check.log" 2>&1 </dev/null; then
        failed=$((failed + 1))
        printf 'FAILED: %s\n        %s\n' "$what" "$*"
        tail -n 40 "$work/check.log"
        return 1
    fi
}

# check_is WHAT GOT EXPECTED
check_is() {
    checks=$((checks + 1))
    if [[ $2 != "$3" ]]; then
        failed=$((failed + 1))
        printf 'FAILED: %s\n    got:      %s\n    expected: %s\n' "$1" "$2" "$3"
        return 1
    fi
}

# Ends the script: prints the last line, and fails if a check failed.
finish() {
    printf '%s: checks=%d failed=%d\n' "$1" "$checks" "$failed"
    [[ $failed -eq 0 && $checks -gt 0 ]]
}

# The public headers, as they are included.
public_headers() {
    sed -nE '/^set\(noria_(tls_|adapter_)?headers$/,/\)$/s/^ *([a-z_]*\/[a-z0-9_]*\.h).*/\1/p' "$root/CMakeLists.txt"
}
