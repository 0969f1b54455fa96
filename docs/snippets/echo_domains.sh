# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

serve echo_domains
client 'what comes'
client ' comes back'
printf '\n'
stop
