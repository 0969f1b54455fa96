# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
#
# Addresses that need no file and no server, and what the client says where nobody listens.

"$programs/names" 127.0.0.1 80
"$programs/names" ::1 80
"$programs/names" 127.0.0.1 1 text 2>&1
printf 'status %d\n' $?
