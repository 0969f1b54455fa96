# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

seq 100000 >lines
"$programs/stream" <lines
seq 100000 | "$programs/stream"
"$programs/stream" </dev/null
