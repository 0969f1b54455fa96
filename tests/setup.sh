# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Sourced by demos/run, tests/run and the scripts of tests/bench/: installs packages and builds. `root` is the project's
# directory.

export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for the scripts that source this one
mapfile -t parts < <(grep -v '^#' "$root/tests/parts") # of the library

# It starts fewer processes than make, which take a fifth of the time that a whole build takes.
use_ninja() {
    if [[ -z ${CMAKE_GENERATOR-} ]] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
}
use_ninja

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# Runs a command quietly. If it fails, prints the end of its output. $1 is the name to print.
quietly() {
    local what=$1 output
    shift
    output=$(mktemp)
    if "$@" >"$output" 2>&1 </dev/null; then
        rm -f "$output"
        return 0
    fi
    say "$what failed: $*" >&2
    tail -n 60 "$output" >&2
    rm -f "$output"
    return 1
}

is_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ?i* ]]
}

# Runs apt-get as root. Waits for the package manager's lock.
apt() {
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        as_root=(sudo)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# Prints the missing packages for `demos`, `tests` or `bench`, one per line. Of several alternatives prints the first
# that apt knows, or the first one if it knows none.
missing_packages() {
    local wanted=$1 who names name choice
    while read -r who names; do
        [[ $who == demos || $who == "$wanted" ]] || continue
        choice=
        for name in ${names//|/ }; do
            is_installed "$name" && continue 2
            [[ -n $choice || $names != *\|* ]] || ! apt-cache show "$name" >/dev/null 2>&1 || choice=$name
        done
        say "${choice:-${names%%|*}}"
    done < <(grep -v '^#' "$root/tests/packages")
}

# Installs the missing packages for `demos`, `tests` or `bench`, which tests/packages lists. Updates apt's package lists
# only if they are missing or stale.
need_packages() {
    local wanted=$1 missing=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this is not Debian: nothing is installed; tests/packages tells what is needed" >&2
        return 0
    fi
    mapfile -t missing < <(missing_packages "$wanted")
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
        die "not root, and there is no sudo; as root: apt-get install ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    if ! apt install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 </dev/null; then
        quietly "bringing apt's lists up to date" apt update || return
        mapfile -t missing < <(missing_packages "$wanted")
        quietly "installing the packages" apt install --no-install-recommends "${missing[@]}" || return
    fi
    use_ninja # it may be one of them
}

# Prints the build directory of a preset.
build_dir() {
    if [[ $1 == release ]]; then
        printf '%s\n' "$root/build"
    else
        printf '%s\n' "$root/build/$1"
    fi
}

# locked_preset PRESET COMMAND...: runs the command in the project's directory. Commands for the same preset that are
# started at once run one after another.
locked_preset() {
    local preset=$1
    shift
    (cd "$root" && mkdir -p build && exec 8>"build/.$preset.lock" && flock 8 && "$@")
}

# Configures a preset whose lock is held, if that is necessary: PRESET [OPTION...]
make_configured() {
    local dir
    dir=$(build_dir "$1")
    [[ -e $dir/Makefile || -e $dir/build.ninja ]] || quietly "configuring the $1 build" cmake --preset "$@"
}

# Builds a preset whose lock is held: PRESET [TARGET...]
make_built() {
    local preset=$1 dir targets=()
    shift
    dir=$(build_dir "$preset")
    make_configured "$preset" || return
    if [[ $# -gt 0 ]]; then
        targets=(--target "$@")
        if [[ -e $dir/Makefile ]]; then
            # A target may be newer than the makefiles. Ninja looks by itself.
            quietly "configuring the $preset build again" cmake "$dir" || return
        fi
    fi
    quietly "building $preset" cmake --build "$dir" --parallel "$(nproc)" "${targets[@]}"
}

# configure_preset PRESET [OPTION...]: configures the preset if necessary, with these options of cmake.
configure_preset() {
    locked_preset "$1" make_configured "$@"
}

# build_preset PRESET [TARGET...]: configures the preset if necessary, and builds all of it or only the targets.
build_preset() {
    locked_preset "$1" make_built "$@"
}
