#!/bin/sh
# The script of the original design: runs `deploy-site` with the arguments it is given.
# WALTODO_CLI_PATH names the program; else it is waltodo, or walrus-sdk, on the PATH.
set -eu

program="${WALTODO_CLI_PATH:-$(command -v waltodo || command -v walrus-sdk || true)}"
if [ -z "$program" ] || ! command -v "$program" >/dev/null; then
    echo "deploy-walrus-site-enhanced: no program ${program:-waltodo}; install walrus-sdk or set WALTODO_CLI_PATH" >&2
    exit 2
fi
exec "$program" deploy-site "$@"
