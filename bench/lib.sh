# shellcheck shell=bash disable=SC2034
# What the benchmarks share: the commands that are compared, the proof that a call was allowed or denied as
# its label says, and the record of a run. Sourced, never run.
# shellcheck source=../scripts/lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

twin=$root/crates/ratelimit-client/lua/ratelimit.lua
server='' module='' name='' cli_path='' benchmark_path='' recorded=''

# Builds the module (unless MODULE names one) and checks the tools; --record asks for a record.
prepare() { # the script's arguments
  help_if_asked "$@"
  case ${1-} in
    '') ;;
    --record) recorded=1 ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  "$root/scripts/setup.sh" build redis-tools
  module=${MODULE:-$(module_in "$(target_dir)")}
  if [ -z "${MODULE-}" ]; then build_module; fi
}

choose() { # server's path
  server=$1
  name=$(server_name "$server")
  cli_path=$(tool_beside "$server" cli)
  benchmark_path=$(tool_beside "$server" benchmark)
}

cli() { "$cli_path" -p "$server_port" "$@"; }

# --- the commands compared ----------------------------------------------------------------------

load() { cli SCRIPT LOAD "$(cat "$1")"; } # file

# One a line: label | what must be true of it | command | command that prepares each key (default: itself).
# What must be true: allowed and denied of the reply and of the data set; reads and writes of the data set alone.
# "Allowed" has so high a limit and "denied" so low a one that nothing else can happen; a bucket that allows
# has so long an interval that its keys live on between two calls.
floor_rows() {
  cat <<'END'
PING|reads|PING
GET, no such key|reads|GET key:__rand_int__|PING
GET|reads|GET key:__rand_int__|SET key:__rand_int__ 17 EX 3600
INCR|writes|INCR key:__rand_int__
SET k 1 EX 60|writes|SET key:__rand_int__ 1 EX 60
END
}

module_rows() { # limit that allows, window in seconds
  local algorithm
  for algorithm in FIXED SLIDING BUCKET; do
    echo "CHECK $algorithm allowed|allowed|RATELIMIT.CHECK key:__rand_int__ $1 $(window_of $algorithm "$2")$(named $algorithm)"
    echo "CHECK $algorithm denied|denied|RATELIMIT.CHECK key:__rand_int__ 1 $2$(named $algorithm)"
  done
}

peek_rows() { # limit that allows, window in seconds
  local algorithm words
  for algorithm in FIXED SLIDING BUCKET; do
    words="key:__rand_int__ $1 $(window_of $algorithm "$2")$(named $algorithm)"
    echo "PEEK $algorithm would allow|peeks allowed|RATELIMIT.PEEK $words|RATELIMIT.CHECK $words"
    words="key:__rand_int__ 1 $2$(named $algorithm)"
    echo "PEEK $algorithm would deny|denied|RATELIMIT.PEEK $words|RATELIMIT.CHECK $words"
  done
}

# A sliding window whose previous window still counts, and two windows in one call.
further_rows() { # limit that allows
  local state now
  now=$(date +%s)
  state="SET key:__rand_int__ \"s1 3600000000 $((now - 600))000000 50 20\" EX 3000"
  echo "CHECK SLIDING allowed, previous window counts|allowed|RATELIMIT.CHECK key:__rand_int__ $1 3600 ALGORITHM SLIDING|$state"
  echo "CHECK SLIDING denied, previous window counts|denied|RATELIMIT.CHECK key:__rand_int__ 1 3600 ALGORITHM SLIDING|$state"
  local algorithm window
  for algorithm in FIXED SLIDING BUCKET; do
    window=$(window_of $algorithm 3600)
    echo "CHECK $algorithm two pairs, allowed|allowed|RATELIMIT.CHECK key:__rand_int__ $1 $window $1 2d$(named $algorithm)"
    echo "CHECK $algorithm two pairs, denied|denied|RATELIMIT.CHECK key:__rand_int__ 1 $window $1 2d$(named $algorithm)"
  done
}

script_rows() { # limit that allows, script…
  local limit=$1 window=31622400 script sha # so long that no key ends between two calls
  shift
  for script in "$@"; do
    sha=$(load "$root/bench/scripts/$script.lua")
    echo "$script.lua allowed|allowed|EVALSHA $sha 1 key:__rand_int__ $limit $window"
    echo "$script.lua denied|denied|EVALSHA $sha 1 key:__rand_int__ 1 $window"
  done
}

twin_rows() { # limit that allows
  local algorithm window sha
  sha=$(load "$twin")
  for algorithm in FIXED SLIDING BUCKET; do
    window=$(window_of $algorithm 3600)
    echo "Lua twin $algorithm allowed|allowed|EVALSHA $sha 1 key:__rand_int__ CHECK $1 $window$(named $algorithm)"
    echo "Lua twin $algorithm denied|denied|EVALSHA $sha 1 key:__rand_int__ CHECK 1 $window$(named $algorithm)"
  done
}

window_of() { if [ "$1" = BUCKET ]; then echo 366d; else echo "$2"; fi; } # algorithm, window of the others
named() { if [ "$1" != FIXED ]; then echo " ALGORITHM $1"; fi; }

# --- measuring one of them ----------------------------------------------------------------------

# Sends a command once for each key, the first ones that __rand_int__ names.
send_for_each_key() { # how many, command
  local answer before=${2%%__rand_int__*} after=${2#*__rand_int__}
  answer=$(seq -f "$before%012.0f$after"$'\r' 0 $(($1 - 1)) | cli --pipe 2>&1) || die "could not prepare the keys with $2: ${answer%%$'\n'*}"
}

prepare_keys() { # how many, command
  cli FLUSHALL >/dev/null
  case $2 in *__rand_int__*) send_for_each_key "$@" ;; esac
}

# The first integer of the reply for the first key.
probe() { # command
  local words
  eval "words=(${1//__rand_int__/000000000000})" # some arguments are quoted
  cli -e "${words[@]}" | head -1
}

changes() { cli INFO persistence | tr -d '\r' | sed -n 's/^rdb_changes_since_last_save://p'; }
expired() { cli INFO stats | tr -d '\r' | sed -n 's/^expired_keys://p'; }

# Runs something that sends the command n times, and holds the server to what the label says.
verified() { # label, what must be true, command, n, what to run…
  local label=$1 truth=$2 command=$3 n=$4 changed expired reply
  shift 4
  changed=$(changes) expired=$(expired)
  "$@"
  changed=$(($(changes) - changed)) expired=$(($(expired) - expired)) reply=$(probe "$command")
  case $truth in
    allowed | writes) [ $changed -ge "$n" ] || die "$label: only $changed of $n calls changed anything" ;;
    *) [ $changed = 0 ] || die "$label: $changed of $n calls changed something" ;;
  esac
  case $truth in
    *allowed) [ "$reply" = 1 ] || die "$label: was not allowed but answered $reply" ;;
    denied) [ "$reply" = 0 ] || die "$label: was not denied but answered $reply" ;;
  esac
  [ $expired = 0 ] || die "$label: $expired keys expired meanwhile"
}

# --- the record ---------------------------------------------------------------------------------

processor() { sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1 || sysctl -n machdep.cpu.brand_string; }

# Prints a finished table, and with --record also writes it to bench/record/.
publish() { # what, title, command; the table on stdin
  local file table commit
  table=$(cat)
  printf '\n%s\n' "$table"
  if [ -z "$recorded" ]; then return; fi
  commit=$(git -C "$root" describe --always --dirty) # before a record of the day is written anew
  mkdir -p "$root/bench/record"
  file=$root/bench/record/$(date -u +%Y-%m-%d)-$1.md
  cat >"$file" <<END
# $2

- when: $(date -u +%Y-%m-%d), at commit $commit
- on: $(processor), $(getconf _NPROCESSORS_ONLN) processors, $(uname -sm)
- command: \`$3\`

$table
END
  say "recorded in ${file#"$root"/}"
}
