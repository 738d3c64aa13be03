#!/usr/bin/env bash
# Makes docs/live-page.png: the live page in a real browser, during a simulation on a real server.
# usage: screenshot.sh
# It runs the test of the edge of a fixed window. With RATELIMIT_SCREENSHOT set, that test waits
# until the page shows more, and saves a picture.
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
