# shellcheck shell=bash disable=SC2034
# Functions that the benchmarks share: the commands that they compare, the check that each call was
# allowed or denied as its label says, and the record of a run. A benchmark sources this file.
# shellcheck source=../scripts/lib.sh source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

our_script=$root/crates/ratelimit-client/lua/ratelimit.lua
# A test compares this list with the algorithms of the core.
algorithms=(FIXED SLIDING BUCKET)
server='' module='' name='' cli_path='' benchmark_path='' recorded=''

# Checks the tools, and builds the module unless MODULE names one. With --record, publish writes a
# record.
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

# Each line is: label | expectation | command | command that prepares each key (default: the
# command). The expectations allowed and denied are about the reply and the data set, reads and
# writes only about the data set. A call that must be allowed has a limit that it cannot reach, and
# a call that must be denied the limit 1. A bucket that must allow gets a window of 366 days, so
# that its keys do not expire between two calls.
floor_rows() {
  cat <<'END'
PING|reads|PING
GET, no such key|reads|GET key:__rand_int__|PING
GET|reads|GET key:__rand_int__|SET key:__rand_int__ 17 EX 3600
INCR|writes|INCR key:__rand_int__
SET k 1 EX 60|writes|SET key:__rand_int__ 1 EX 60
END
}

key=key:__rand_int__

module_rows() { # limit that allows, window in seconds
  local algorithm options words
  for algorithm in "${algorithms[@]}"; do
    options=$(options_of "$algorithm")
    words="$(window_of "$algorithm" "$2")$options"
    echo "CHECK $algorithm allowed|allowed|RATELIMIT.CHECK $key $1 $words"
    echo "CHECK $algorithm denied|denied|RATELIMIT.CHECK $key 1 $2$options"
  done
}

peek_rows() { # limit that allows, window in seconds
  local algorithm options words
  for algorithm in "${algorithms[@]}"; do
    options=$(options_of "$algorithm")
    words="$key $1 $(window_of "$algorithm" "$2")$options"
    echo "PEEK $algorithm would allow|peeks allowed|RATELIMIT.PEEK $words|RATELIMIT.CHECK $words"
    words="$key 1 $2$options"
    echo "PEEK $algorithm would deny|denied|RATELIMIT.PEEK $words|RATELIMIT.CHECK $words"
  done
}

# A sliding window whose previous window still counts.
previous_window_rows() { # limit that allows
  local state command label='CHECK SLIDING'
  state="SET $key \"s1 3600000000 $(($(date +%s) - 600))000000 50 20\" EX 3000"
  command="RATELIMIT.CHECK $key $1 3600 ALGORITHM SLIDING"
  echo "$label allowed, previous window counts|allowed|$command|$state"
  command="RATELIMIT.CHECK $key 1 3600 ALGORITHM SLIDING"
  echo "$label denied, previous window counts|denied|$command|$state"
}

two_pairs_rows() { # limit that allows
  local algorithm words label
  for algorithm in "${algorithms[@]}"; do
    label="CHECK $algorithm two pairs"
    words="$(window_of "$algorithm" 3600) $1 2d$(options_of "$algorithm")"
    echo "$label, allowed|allowed|RATELIMIT.CHECK $key $1 $words"
    echo "$label, denied|denied|RATELIMIT.CHECK $key 1 $words"
  done
}

# Scripts as they are in common use.
common_script_rows() { # limit that allows, script…
  local limit=$1 window=31622400 script sha # so long that no key expires between two calls
  shift
  for script in "$@"; do
    sha=$(load "$root/bench/scripts/$script.lua")
    echo "$script.lua allowed|allowed|EVALSHA $sha 1 $key $limit $window"
    echo "$script.lua denied|denied|EVALSHA $sha 1 $key 1 $window"
  done
}

# Our script, which decides as the module does.
our_script_rows() { # limit that allows
  local algorithm words command
  command="EVALSHA $(load "$our_script") 1 $key CHECK"
  for algorithm in "${algorithms[@]}"; do
    words="$(window_of "$algorithm" 3600)$(options_of "$algorithm")"
    echo "script $algorithm allowed|allowed|$command $1 $words"
    echo "script $algorithm denied|denied|$command 1 $words"
  done
}

window_of() { # algorithm, window of all but the bucket
  if [ "$1" = BUCKET ]; then echo 366d; else echo "$2"; fi
}

options_of() { if [ "$1" != FIXED ]; then echo " ALGORITHM $1"; fi; } # algorithm

# --- measuring one of them ----------------------------------------------------------------------

# Sends a command once for each of the first keys that redis-benchmark puts for __rand_int__.
send_for_each_key() { # how many, command
  local answer before=${2%%__rand_int__*} after=${2#*__rand_int__}
  answer=$(seq -f "$before%012.0f$after"$'\r' 0 $(($1 - 1)) | cli --pipe 2>&1) ||
    die "could not prepare the keys with $2: ${answer%%$'\n'*}"
}

prepare_keys() { # how many, command
  cli FLUSHALL >/dev/null
  case $2 in *__rand_int__*) send_for_each_key "$@" ;; esac
}

# Sends the command for the first key and prints the first integer of the reply.
probe() { # command
  local words
  eval "words=(${1//__rand_int__/000000000000})" # some arguments are quoted
  cli -e "${words[@]}" | head -1
}

changes() { cli INFO persistence | tr -d '\r' | sed -n 's/^rdb_changes_since_last_save://p'; }
expired() { cli INFO stats | tr -d '\r' | sed -n 's/^expired_keys://p'; }

# Runs a program that sends the command n times, and checks that the server did what was expected.
verified() { # label, expectation, command, n, program with its arguments…
  local label=$1 expected=$2 command=$3 n=$4 changed expired reply
  shift 4
  changed=$(changes) expired=$(expired)
  "$@"
  changed=$(($(changes) - changed)) expired=$(($(expired) - expired)) reply=$(probe "$command")
  case $expected in
    allowed | writes)
      [ $changed -ge "$n" ] || die "$label: only $changed of $n calls changed anything" ;;
    *) [ $changed = 0 ] || die "$label: $changed of $n calls changed something" ;;
  esac
  case $expected in
    *allowed) [ "$reply" = 1 ] || die "$label: the reply is $reply, not allowed" ;;
    denied) [ "$reply" = 0 ] || die "$label: the reply is $reply, not denied" ;;
  esac
  [ $expired = 0 ] || die "$label: $expired keys expired in the meantime"
}

# --- the record ---------------------------------------------------------------------------------

processor() {
  sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1 ||
    sysctl -n machdep.cpu.brand_string
}

# Prints a finished table, and with --record also writes it to bench/record/.
publish() { # name of the benchmark, title, command; the table on stdin
  local file table commit
  table=$(cat)
  printf '\n%s\n' "$table"
  if [ -z "$recorded" ]; then return; fi
  commit=$(git -C "$root" describe --always --dirty) # before a new record makes the tree dirty
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
