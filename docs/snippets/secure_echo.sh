# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=server.example \
    -addext subjectAltName=DNS:server.example -keyout key.pem -out chain.pem 2>made || cat made
cp chain.pem authority.pem
serve secure_echo
"$programs/secure_connect" unix:socket server.example 'what comes comes back
'
"$programs/secure_connect" unix:socket other.example 'nothing'
stop
