#!/bin/sh
# Submits a signal, claims it and records its result: signals.sh [URL of an instance]. It needs curl and jq.
#
# Repeat the submission with the same fields until there is an answer. Do not repeat a claim whose answer was lost: the
# signal is then in the list GET /signals?state=claimed.
set -eu
url=${1:-http://127.0.0.1:5000}

# Submits it. --fail: an answer of 400 or more is an error; --retry: repeats after 503 and broken connections.
curl --silent --show-error --fail --retry 10 --retry-connrefused "$url/signals" \
    --data '{"instrument": "NIFTY", "signal_type": "BASE_ENTRY", "position": "Long_1",
             "timestamp": "'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'", "payload": {"price": "24310.55"}}' >/dev/null

# Claims it from the leader, which is this instance or is named in the answer 503.
leader=$(curl --silent "$url/leader" | jq -r .address)
claim=$(curl --silent --show-error --fail "$leader/signals/claim" --data '{"max": 1, "wait_ms": 4000}')
id=$(echo "$claim" | jq -r '.signals[0].id')
attempt=$(echo "$claim" | jq -r '.signals[0].attempt')

# Execute the signal here, with its fingerprint as the client order id. Then record the result:
curl --silent --show-error --fail --retry 10 --retry-connrefused "$leader/signals/$id/result" \
    --data '{"attempt": '"$attempt"', "outcome": "done", "note": "order 4711"}'
