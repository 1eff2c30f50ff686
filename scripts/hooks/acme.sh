#!/bin/sh
# Reload command of acme.sh: hands what acme.sh has just issued or renewed to hotcert. docs/hooks.md says how to set it up.
#
# Arguments go to `hotcert push`, such as --config FILE. acme.sh reports an exit code other than 0.
set -eu

# Timers and cron jobs may not look there.
PATH=$PATH:/usr/local/bin
certificate=${CERT_FULLCHAIN_PATH:?is for acme.sh to set, which runs this as --reloadcmd}
key=${CERT_KEY_PATH:?is for acme.sh to set}
name=${Le_Domain:?is for acme.sh to set}

# A wildcard may stand for the name: hotcert makes `_.` of `*.`.
exec hotcert push "$certificate" "$key" --name "$name" "$@"
