# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

seq 100000 >lines
seq 100000 | "$programs/move" >moved
cmp moved lines && echo 'from a pipe to a file'
"$programs/move" <moved | cmp - lines && echo 'from a file to a pipe'
