# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

"$programs/debug" 2>said
grep -o 'looking, after a sleep that said 0' said
