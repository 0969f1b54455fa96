# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

serve counter
client 'five!'
stop
