# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

printf 'From: a\r\nTo: b\r\n\r\nthe body\n' | "$programs/message"
{ printf 'From: a\n\n'; seq 100000; } | "$programs/message" | cksum
printf 'From: a\n' | "$programs/message" 2>&1 || printf 'status %d\n' $?
