#!/usr/bin/env bash
# The steps of .github/workflows/release.yml for a tag.
# usage: release.sh check TAG            fails unless TAG is v and the version of Cargo.toml, and
#                                        CHANGELOG.md has a section for that version
#        release.sh notes TAG            prints that section
#        release.sh checksums DIR        writes DIR/SHA256SUMS for the packages in DIR
#        release.sh publish TAG DIR      publishes the packages in DIR (needs gh and GH_TOKEN)
# shellcheck source=../lib.sh source-path=SCRIPTDIR
source "$(dirname "$0")/../lib.sh"
help_if_asked "$@"
cd "$root"

notes() { # tag
  awk -v heading="## ${1#v}" '
    /^## / { inside = $0 == heading || index($0, heading " ") == 1; next }
    inside' CHANGELOG.md
}

check() { # tag
  local version
  version=$(cargo pkgid --locked -p ratelimit | sed 's/.*[#@]//')
  [ "$1" = "v$version" ] || die "the tag is $1, but Cargo.toml has $version"
  [ -n "$(notes "$1")" ] || die "CHANGELOG.md has nothing under a heading ## $version"
}

checksums() { # directory
  (cd "$1" && find . -name '*.tar.gz' -printf '%P\n' | LC_ALL=C sort |
    xargs -r -d '\n' sha256sum) >"$1/SHA256SUMS"
  [ -s "$1/SHA256SUMS" ] || die "there is no package in $1"
}

publish() { # tag, directory
  check "$1"
  checksums "$2"
  notes "$1" | gh release create "$1" --verify-tag --title "$1" --notes-file - \
    "$2"/*.tar.gz "$2/SHA256SUMS"
}

case $#${1-} in
  2check | 2notes | 2checksums | 3publish) "$@" ;;
  *) die "usage: release.sh check TAG | notes TAG | checksums DIR | publish TAG DIR (see --help)" ;;
esac
