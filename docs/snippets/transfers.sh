# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
#
# Downloads from a web server on loopback, which gives its port.

mkdir site
printf 'hello\n' >site/small
head -c 300000 /dev/zero >site/large
python3 -c '
import functools, http.server, os

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory="site"))
with open("port.new", "w") as file:
    print(server.server_port, file=file)
os.rename("port.new", "port")
server.serve_forever()
' &
server=$!
await -e port
url=http://127.0.0.1:$(cat port)
for path in small large missing; do
    no_proxy='*' "$programs/transfers" "$url/$path" | sed "s|$url||"
done
no_proxy='*' "$programs/transfers" "$url/small" "$url/large" "$url/missing" | sed "s|$url||" | sort
kill "$server"
wait "$server" 2>/dev/null || true
