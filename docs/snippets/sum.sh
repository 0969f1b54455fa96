# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

head -c 100000 /dev/zero | tr '\0' '\1' >ones
"$programs/sum" ones
"$programs/sum" missing 2>&1
printf 'status %d\n' $?
