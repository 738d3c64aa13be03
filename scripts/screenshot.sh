#!/usr/bin/env bash
# Takes docs/live-page.png: the live page in a real browser, while a simulation runs on a real server.
# usage: screenshot.sh
# It is the test of the fixed window's edge, which keeps a picture, asked to wait for a fuller one.
# shellcheck source=lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/lib.sh"
help_if_asked "$@"
cd "$root"

"$root/scripts/setup.sh" build chromium
server=$("$root/scripts/servers.sh" one)
build_module
RATELIMIT_SERVERS="$(server_name "$server") $server"
RATELIMIT_MODULE=$(module_in "$(target_dir)")
RATELIMIT_SCREENSHOT=$root/docs/live-page.png
export RATELIMIT_SERVERS RATELIMIT_MODULE RATELIMIT_SCREENSHOT
cargo test --quiet --locked -p ratelimit-server --test service dashboard::at_the_edge
say "docs/live-page.png: $(wc -c <"$RATELIMIT_SCREENSHOT") bytes"
