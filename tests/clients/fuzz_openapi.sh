#!/bin/sh
# Sends what schemathesis makes of a running server's own description: valid and invalid requests, and
# sequences of them, for ten minutes. Anything that the description does not allow is a failure.
#
#   tests/clients/fuzz_openapi.sh http://127.0.0.1:PORT KEY [SECONDS]
#
# The server must require KEY, have a data folder of its own, and serve nobody else: it is told to unload
# models, delete them and switch plugins off.
set -eu

# Left out: that requests which the schema allows are never refused (whether a text is the name of a model
# or of a vector, or fits the context, no schema says), and `/models/sse`, an answer that never ends. That
# those which it does not allow are refused is asked by a check of ours, in fuzz_hooks.py.
SCHEMATHESIS_HOOKS="$(dirname "$0")/fuzz_hooks.py" exec st run "$1/api/openapi.json" \
    --header "Authorization: Bearer $2" \
    --exclude-path /models/sse \
    --exclude-checks positive_data_acceptance,negative_data_rejection \
    --max-time "${3:-600}" \
    --request-timeout 60 \
    --warnings off
