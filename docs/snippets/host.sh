# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2094,SC2154
#
# Gives the program one line, and a second one when the first has come back.

printf 'first\n' >first
{
    cat first
    await_lines answers 1
    printf 'the second\n'
} | stdbuf -oL "$programs/host" >answers
cat answers
