# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

serve echo
client 'what comes'
client ' comes back'
printf '\n'
stop
