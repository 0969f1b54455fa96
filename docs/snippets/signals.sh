# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

"$programs/signals" >out &
pid=$!
await_lines out 1
kill -HUP "$pid"
await_lines out 2
kill -TERM "$pid"
wait "$pid"
printf 'status %d\n' $?
cat out
