# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Sourced by http_checks: what httpd --domains does that one loop need not: one log and one limit for several loops.
# shellcheck disable=SC2154 # http_checks and common.sh have these

# Waits until all loops have opened what they need: each has answered, and no more descriptors are opened.
settle() {
    local i last=0 n same=0
    for i in {1..8}; do
        curl -s -m "$patience" -o /dev/null "$url/nothing"
    done
    for ((i = 0; i < patience * 50 && same < 20; i++)); do
        n=$(n_descriptors)
        same=$((n == last ? same + 1 : 0))
        last=$n
        a_moment
    done
}

# Gets many small files, eight clients at a time, each by one connection.
get_many() {
    local i
    for i in {1..8}; do
        curl -s -m 60 -o /dev/null -w '%{http_code}\n' "$url/img/[1-50].png" &
    done >"$work/codes"
    for i in $(jobs -rp); do
        [[ $i == "$pid" ]] || wait "$i"
    done
}

good_lines() { cat "$@" | grep -cE '^127\.0\.0\.1 - - \[[^]]+\] "GET /img/[0-9]+\.png HTTP/1\.1" 200 [0-9]+$'; }
has_good_lines() { [[ $(good_lines "${@:2}") -eq $1 ]]; }

# The log is one for all loops, also when it is opened again, and no line is mixed with another.
log_of_domains() {
    rm -f "$work/log" "$work/log.1"
    serve_site --access-log "$work/log"
    get_many
    check "httpd --domains: 400 files" equal "$(sort "$work/codes" | uniq -c | tr -d ' \n')" 400200
    mv "$work/log" "$work/log.1"
    kill -HUP "$pid"
    get_many
    check "httpd --domains: the log is opened again" until_true test -e "$work/log"
    get_many
    stop_server "httpd --domains with a log"
    check "httpd --domains: a line for each of 1200 answers" has_good_lines 1200 "$work/log" "$work/log.1"
    check "httpd --domains: and no other" equal "$(cat "$work/log" "$work/log.1" | wc -l)" 1200
}

# Whichever allocation is the first to fail for good, it serves, or ends with status 1.
without_memory() {
    local nth
    grep -q loop_kernel_fails "$demos/httpd" || return 0
    for nth in {20..60..2}; do
        on=(env "NORIA_FAIL=calloc:ENOMEM:$nth+1" "${on[@]}")
        serve "$demos/httpd" --domains 3 "$site" tcp:127.0.0.1:0
        on=("${on[@]:2}")
        [[ -z $line ]] || kill -TERM "$pid"
        ended "$pid" "$server"
        check "httpd --domains, without memory from allocation $nth on: ends" like "$status" '^[01]$'
    done
}

# It says that it serves when all loops do, and not when one has no thread or cannot open its directories.
start_of_domains() {
    never_ready pthread_create:EAGAIN:4+1 "domain . cannot start" httpd --domains 4 "$work" tcp:127.0.0.1:0
    never_ready openat:EMFILE:3+1 "Too many open files" httpd --domains 4 "$work" tcp:127.0.0.1:0
    without_memory
    stopped_in_start "$site" httpd --domains 2 "$site" "unix:$work/stopped"
    stopped_in_start "$site" httpd --domains 2 --restart "$work/control" "$site" "unix:$work/stopped"
}

# The limits are those of all loops together.
limits_of_domains() {
    local i all=()
    serve_site --max-per-address 3
    for i in 1 2 3; do
        open_connection && all+=("$peer")
        request /hello.txt >&"$peer"
        read -r -t "$patience" -u "$peer" line
        check "httpd --domains: connection $i of 3 is served" like "$line" '^HTTP/1\.1 200'
    done
    for i in 1 2 3; do
        open_connection
        check "httpd --domains: one more of an address is closed" equal "$(count_rest "$peer")" 0
        hang_up
    done
    peer=${all[0]}
    hang_up
    check "httpd --domains: and one in its place is served" until_true is_served
    for peer in "${all[@]:1}"; do
        hang_up
    done
    stop_server "httpd --domains with a limit of an address"
    serve_site --max-connections 2 --idle 0.3
    all=()
    for i in {1..6}; do
        open_connection && all+=("$peer")
        request /hello.txt $'Connection: close\r\n' >&"$peer"
    done
    for peer in "${all[@]}"; do
        check "httpd --domains: those beyond the limit wait" like "$(timeout "$patience" cat <&"$peer")" 'hello, world$'
        hang_up
    done
    stop_server "httpd --domains with a limit of connections"
}

is_served() { [[ $(curl -s -m "$patience" "$url/hello.txt") == 'hello, world' ]]; }
