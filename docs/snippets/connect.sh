# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
#
# What the client says where nobody listens. That it works otherwise is seen by the servers' drivers.

"$programs/connect" unix:nobody text 2>&1
printf 'status %d\n' $?
