# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# driver.sh PROGRAMS WITHOUT_URING PROGRAM: runs one of the documentation's programs for tests/snippets, in the working
# directory: by its own driver, PROGRAM.sh beside this file, or plainly. Below is what drivers use, with
#
#   $programs        the directory of the programs
#   $without_uring   the tool that runs a command with io_uring blocked

set -u
programs=$1
# shellcheck disable=SC2034
without_uring=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Waits until `test "$@"` is true.
await() {
    local i
    for ((i = 0; i < 500; i++)); do
        test "$@" && return 0
        sleep 0.02
    done
    printf 'waited in vain: %s\n' "$*"
}

# Waits until the file $1 has $2 lines.
await_lines() {
    local i
    for ((i = 0; i < 500; i++)); do
        [[ $(wc -l <"$1") -ge $2 ]] && return 0
        sleep 0.02
    done
    printf 'waited in vain for line %d of %s\n' "$2" "$1"
}

# Starts the server $1 on a Unix socket in the working directory.
serve() {
    "$programs/$1" unix:socket >served &
    server=$!
    await -S socket
}

# Sends $1 to that server and prints what comes back.
client() {
    "$programs/connect" unix:socket "$1"
}

# Ends the server as a service manager would, and prints what it had to say.
stop() {
    kill -TERM "$server"
    wait "$server" || printf 'the server ended with status %d\n' $?
    cat served
}

if [[ -f $here/$3.sh ]]; then
    # shellcheck disable=SC1090
    . "$here/$3.sh"
else
    exec "$programs/$3"
fi
