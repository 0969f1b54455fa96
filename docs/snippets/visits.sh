# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

mkdir inside
echo secret >outside
"$programs/visits" inside
"$programs/visits" inside
ls -A inside
"$programs/visits" nowhere 2>&1
printf 'status %d\n' $?
