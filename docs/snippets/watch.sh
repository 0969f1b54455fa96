# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

mkdir watched
"$programs/watch" >seen &
await_lines seen 1
echo text >watched/file
mv watched/file watched/other
rm watched/other
mkdir watched/stop
wait
cat seen
