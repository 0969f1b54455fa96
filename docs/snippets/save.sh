# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

"$programs/save" saved
cat saved
"$programs/save" no/such/directory 2>&1
printf 'status %d\n' $?
