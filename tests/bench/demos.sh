# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2034 # variables are for the scripts that source this one
#
# Sourced by the commands of tests/bench/ that measure whole programs beside others: httpd, proxy, fetch and names. Each
# measures some rows, in rounds, and prints a table. Besides:
#
#   COMMAND --rows [tls]        prints the names of its rows
#   COMMAND --round ROW [tls]   measures one row once, with what has been built in build/, and prints an object of JSON:
#                               for each program that is installed its figures, {"nginx": {"cpu": 14000, "rate": 64034}}
#
# The latter is how tests/bench/run measures the same rows. A figure `cpu` is in nanoseconds of processor time, user and
# kernel, for one operation; `rate` is operations a second, `p99` microseconds.

# shellcheck source=tests/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
cd "$root" || exit
unset LOOP_BACKEND NORIA_HARD

# begin ROUNDS ROWS TLS_ROWS ARGUMENT...: reads the command's arguments. ROWS are the names of its rows, one a line, and
# TLS_ROWS those with "tls". Sets `rounds`, `only` (the row of --round, or empty) and `scheme`.
begin() {
    local rows=$2 tls_rows=$3 asked=
    rounds=$1 only='' scheme=http
    shift 3
    case ${1-} in
    --rows) asked=$1 && shift ;;
    --round) only=${2:?a row} rounds=1 && shift 2 ;;
    *[0-9]*) rounds=$1 && shift ;;
    esac
    [[ ${1-} != tls ]] || scheme=https rows=$tls_rows
    if [[ $asked ]]; then
        say "$rows"
        exit
    fi
    [[ ! $only ]] || grep -qxF -- "$only" <<<"$rows" || die "there is no row '$only'"
}

# build PACKAGES [TARGET...]: what is measured, unless it is there for tests/bench/run. PACKAGES are one or more words.
build() {
    local packages
    [[ ! $only ]] || return 0
    for packages in $1; do
        need_packages "$packages" >&2
    done
    build_preset release "${@:2}"
}

wants() { [[ ! $only || $only == "$1" ]]; }

# sample ROW PROGRAM FIGURE=NUMBER...: notes what was measured. A figure may be empty: then it is not known.
sample() {
    local IFS='|'
    printf '%s\n' "$*" >>"$work/samples"
}

# finish: after --round, prints the figures and ends.
finish() {
    [[ $only ]] || return 0
    python3 -B tests/bench/report/samples.py "$work/samples"
    exit
}

# ---- processes ----

pids=() # of what runs, the latest last
on_measured=() on_others=()
if [[ $(nproc) -gt 1 ]]; then
    on_measured=(taskset -c 0) on_others=(taskset -c 1)
fi

stop_last() {
    local last=${pids[-1]}
    unset 'pids[-1]'
    kill -TERM "$last" 2>/dev/null || true
    wait "$last" 2>/dev/null || true
}

# in_directory DIRECTORY: it is `work`, and goes away with all that runs when the command ends.
in_directory() {
    work=$1
    trap 'while [[ ${#pids[@]} -gt 0 ]]; do stop_last; done; rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
}

# start_demo COMMAND...: a demo that tells where it listens: `pid`, and `port`.
start_demo() {
    : >"$work/line"
    "$@" >"$work/line" 2>"$work/errors" &
    pid=$!
    pids+=("$pid")
    for _ in {1..200}; do
        grep -q '^listening on' "$work/line" && break
        sleep 0.02
    done
    port=$(sed -n 's/^listening on tcp:127.0.0.1:\([0-9]*\) .*/\1/p' "$work/line")
    [[ $port ]] || die "$*: $(cat "$work/errors")"
}

# start_other COMMAND...: a server that has been told to listen on `other_port`: `pid`, and `port`.
other_port=$((20000 + $$ % 10000))
start_other() {
    port=$((other_port++))
    "$@" >/dev/null 2>"$work/errors" &
    pid=$!
    pids+=("$pid")
    for _ in {1..200}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.02
    done
    die "$*: $(cat "$work/errors")"
}

# cpu_ns PID: of all threads of the process so far, those that have ended too; clock_getcpuclockid(3).
cpu_ns() {
    python3 -B -c 'import sys, time; print(time.clock_gettime_ns(~int(sys.argv[1]) << 3 | 2))' "$1"
}

# make_certificate: for localhost, chain.pem and key.pem in `work`, with a key on the curve P-256.
make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/chain.pem" 2>/dev/null
    chmod 644 "$work/key.pem"
}

# ---- the ways in which a demo runs ----

# Sets `ways`. tests/bench/run leaves one out, as it does elsewhere.
find_ways() {
    ways=(epoll)
    [[ $only ]] || ways+=("io_uring blocked")
    ! build/tests/has_uring >/dev/null || ways=(io_uring "${ways[@]}")
}

# by_way WAY: `by`, the command that runs another one so.
by_way() {
    case $1 in
    io_uring) by=(env LOOP_BACKEND=uring) ;;
    epoll) by=(env LOOP_BACKEND=epoll) ;;
    *) by=(build/tests/without_uring) ;;
    esac
}
