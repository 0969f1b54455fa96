# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

mkdir files
cd files || exit
for ((i = 0; i < 2000; i++)); do : >"$i"; done
head -c 1000 /dev/zero >some
head -c 5000 /dev/zero >most
mkdir directory
"$programs/largest"
