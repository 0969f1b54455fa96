# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
#
# Replaces a server while it serves, and asks both.

# Prints who answers: the process $1 or another.
answers() {
    if [[ $("$programs/connect" unix:socket x) == "$1"* ]]; then
        printf 'the %s answers\n' "$2"
    else
        printf 'another answers\n'
    fi
}

"$programs/restart" unix:socket unix:control &
first=$!
await -S control
answers "$first" first
"$programs/restart" unix:socket unix:control &
second=$!
wait "$first" && printf 'the first has ended\n'
answers "$second" second
await -S control
kill -TERM "$second"
wait "$second" && printf 'the second has ended\n'
[[ ! -e socket && ! -e control ]] && printf 'nothing is left\n'
