# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Sourced by the scripts of this folder: counts checks, and runs programs on each backend with a time limit. `build` is
# the build directory, `work` a temporary directory that is removed at the end.
# shellcheck disable=SC2034 # what is set here is for those who source it

build=$(cd "${1:?${0##*/} BUILD_DIR}" && pwd) || exit 2
demos=$build/demos
block=$build/tests/without_uring
slow=$build/tests/slow_writes.so # a slow disk, to be preloaded
held=$build/tests/held_opens.so # a disk that does not answer, the same way
patience=20 # seconds, for checks that should take no time
work=$(mktemp -d) || exit 2
unset LOOP_BACKEND
trap 'clean_up' EXIT
trap 'exit 130' INT TERM

# need PROGRAM...: ends the script if one is missing.
need() {
    local program
    for program in "$@"; do
        [[ -x $program ]] || { echo "${0##*/}: $program is missing" >&2; exit 2; }
    done
}

# ---- counting ----

checks=0
failed=0
where=once

# check NAME COMMAND...: one check, which passes if the command does.
check() {
    local name=$1
    shift
    checks=$((checks + 1))
    if ! "$@"; then
        failed=$((failed + 1))
        printf 'FAILED %s: %s\n' "$where" "$name"
        printf '    %s\n' "$*"
        [[ ! -s $work/errors ]] || sed 's/^/    stderr: /' "$work/errors" | tail -n 8
    fi
}

equal() { [[ $1 == "$2" ]]; }
like() { [[ $1 =~ $2 ]]; }
is_empty() { [[ ! -s $1 ]]; }
has_text() { [[ -s $1 ]]; }
same() { cmp -s "$1" "$2"; }
below() { [[ $1 -lt $2 ]]; }
missing() { [[ ! -e $1 ]]; }

# complains FILE TEXT: the file is one line with the text in it, beside what a loop says when it has to fall back.
complains() {
    local lines
    lines=$(grep -v 'io_uring' "$1")
    [[ $lines != *$'\n'* && $lines == *"$2"* ]]
}

# ---- running ----

backends=(uring epoll blocked)
declare -A called=([uring]=io_uring [epoll]=epoll [blocked]=epoll)

# The words that make a command run on a backend, in `on`.
choose() {
    where=$1
    case $1 in
    uring | epoll) on=(env --default-signal=INT "LOOP_BACKEND=$1") ;;
    blocked) on=(env --default-signal=INT "$block") ;;
    esac
}

# run COMMAND...: on the backend, for a bounded time. `status`; what it wrote is in $work/output and $work/errors.
run() {
    timeout "$patience" "${on[@]}" "$@" >"$work/output" 2>"$work/errors"
    status=$?
}

# refused COMMAND...: status 2, one line that begins with the program's name, nothing on standard output.
refused() {
    local name=$1
    run "$demos/$name" "${@:2}"
    check "$*: status 2" equal "$status" 2
    check "$*: one clear line" like "$(<"$work/errors")" "^$name: [^"$'\n'"]+$"
    check "$*: nothing on standard output" is_empty "$work/output"
}

# never_ready CALL WORDS SERVER ARGUMENT...: with --domains, where calls fail (NORIA_FAIL) so that a domain cannot start.
# The server has to say so, with these words, and not that it serves. Calls fail in builds with hard modes only.
never_ready() {
    local name=$3
    grep -q loop_kernel_fails "$demos/$name" || return 0
    run env "NORIA_FAIL=$1" "$demos/$name" "${@:4}"
    check "$name, $1: status 1 where a domain can't start" equal "$status" 1
    check "$name, $1: says why a domain can't start" like "$(<"$work/errors")" "$2"
    check "$name, $1: does not say that it serves" is_empty "$work/output"
}

exists() { [[ -e $1 ]]; }

# stopped_in_start PATH SERVER ARGUMENT...: with --domains, at unix:$work/stopped, where the loops cannot open PATH yet.
# A stop that comes before they can is a stop as any other, also where they find nothing there later.
stopped_in_start() {
    local hold=$work/hold name=$2 what
    for what in kept moved; do
        : >"$hold"
        in_background "$work/output" "$work/errors" "${on[@]}" env "LD_PRELOAD=$held" "HOLD=$hold" "HELD_PATH=$1" \
            "$demos/$2" "${@:3}"
        check "$name --domains: the loops are held up" until_true exists "$hold.met"
        kill -TERM "$pid"
        check "$name --domains: stops in its start" until_true missing "$work/stopped"
        [[ $what == kept ]] || mv "$1" "$1.moved"
        rm -f "$hold" "$hold.met"
        await_end "$pid"
        [[ $what == kept ]] || mv "$1.moved" "$1"
        check "$name --domains, stopped in its start, $what: status 0" equal "$status" 0
        check "$name --domains, stopped in its start, $what: does not say that it serves" is_empty "$work/output"
    done
}

last_line() { tail -n 1 "$work/output"; }

# Waits a moment, by reading from a descriptor that never has data.
mkfifo "$work/silence"
exec {silence}<>"$work/silence"
a_moment() { read -r -t 0.02 -u "$silence" _; }

# until_true COMMAND...: retries the command, for a bounded time.
until_true() {
    local i
    for ((i = 0; i < patience * 50; i++)); do
        "$@" && return 0
        a_moment
    done
    return 1
}

# Servers run in the background. `line` is the first line, `address` what it listens on, `port` of that; `pid`, and in
# `server` a descriptor that comes to its end when the server has.
n_servers=0
running=()

# in_background OUTPUT ERRORS COMMAND...: as `pid`. The files are empty when this returns: who waits for what the command
# writes must not find what an earlier one has left.
in_background() {
    local output=$1 errors=$2
    shift 2
    : >"$output"
    : >"$errors"
    "$@" >>"$output" 2>>"$errors" </dev/null &
    pid=$!
    running+=("$pid")
}

is_gone() { ! kill -0 "$1" 2>/dev/null || [[ $(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null) == Z ]]; }

# await_end PID: waits for its end, which gives `status`: "hangs" when that doesn't come.
await_end() {
    local hangs=
    until_true is_gone "$1" || hangs=hangs
    [[ -z $hangs ]] || kill -KILL "$1"
    wait "$1" 2>/dev/null
    status=$?
    status=${hangs:-$status}
    forget "$1"
}

serve() {
    local fifo=$work/server.$((++n_servers))
    mkfifo "$fifo"
    "${on[@]}" "$@" >"$fifo" 2>"$work/server_errors" &
    pid=$!
    running+=("$pid")
    exec {server}<"$fifo"
    line=
    read -r -t "$patience" -u "$server" line
    address=${line#listening on }
    address=${address%% (*}
    port=${address##*:}
}

# ended PID SERVER: waits for its end, which gives `status`: "hangs" when that doesn't come.
ended() {
    local descriptor=$2 read_status
    read -r -t "$patience" -u "$descriptor" _
    read_status=$?
    [[ $read_status -le 128 ]] || kill -KILL "$1"
    wait "$1" 2>/dev/null
    status=$?
    [[ $read_status -le 128 ]] || status=hangs
    exec {descriptor}<&-
    forget "$1"
}

forget() {
    local left=() i
    for i in "${running[@]}"; do
        [[ $i == "$1" ]] || left+=("$i")
    done
    running=(${left[@]+"${left[@]}"})
}

stop_server() {
    kill -TERM "$pid"
    ended "$pid" "$server"
    check "$1 ends with status 0 after SIGTERM" equal "$status" 0
}

clean_up() {
    local i
    for i in ${running[@]+"${running[@]}"}; do
        kill -KILL "$i" 2>/dev/null
    done
    rm -rf "$work"
}

sum() { sha256sum | cut -d ' ' -f 1; }

most_memory_kib() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }
