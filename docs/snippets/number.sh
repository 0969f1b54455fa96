# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

printf 'one\r\n\ntwo\nthree' | "$programs/number"
seq 100000 | "$programs/number" | { sleep 0.2; cksum; }
yes | "$programs/number" | head -n 1
