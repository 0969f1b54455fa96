# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
#
# A forced backend asks nobody, so this one is free to choose, and io_uring is blocked.

unset LOOP_BACKEND
"$without_uring" "$programs/fallback" 2>reason
printf 'status %d\n' $?
grep -c 'no io_uring: .' reason
"$without_uring" "$programs/fallback" strict 2>reason
printf 'status %d\n' $?
