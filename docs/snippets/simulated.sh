# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

"$programs/simulated" --seed 1 --runs 20000 >found
printf 'status %d\n' $?
head -n 1 found
grep -c choose found
"$programs/simulated" mended --seed 1 --runs 5000 >mended
printf 'status %d\n' $?
