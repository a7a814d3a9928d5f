#!/usr/bin/env bash
#
#   test_quickstart.sh <quickstart.sh> <empty folder> <case>
#
# Runs a copy of cmake/quickstart.sh with stand-ins for what it calls: nothing is built or installed.
# Each function case_* is a test; ends with 77 where the machine lacks what the test needs.

set -uo pipefail
unset CDPATH HEED_BUILD_FOLDER HEED_CMAKE_OPTIONS CXX SUDO_UID

script=$1
folder=$2
STAND_INS=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)/stand_ins
HOLD=$folder/hold
export STAND_INS HOLD
export PATH=$STAND_INS:$PATH

rm -rf -- "$folder"
mkdir -p -- "$folder/heed/cmake" "$HOLD"
cp -- "$script" "$folder/heed/cmake/quickstart.sh"
cd -- "$folder/heed" || exit 1
demo=$folder/heed/build/demo
tests=$folder/heed/build/test

# ---------------------------------------------------------------------------------------------
# What is expected
# ---------------------------------------------------------------------------------------------
fail() {
    echo "FAILED: $*"
    [[ -s $folder/said ]] && sed 's/^/    | /' "$folder/said"
    rm -rf -- "$HOLD" # nobody waits any longer
    exit 1
}

# run <command>...: sets status; its output is in $folder/said.
run() {
    "$@" >"$folder/said" 2>&1
    status=$?
}

# expect <status> <pattern>: the status of the last run, and its last line.
expect() {
    ((status == $1)) || fail "status $status instead of $1"
    # shellcheck disable=SC2053  # a pattern
    [[ $(tail -n 1 "$folder/said") == $2 ]] || fail "the last line is not $2"
}

# within_seconds <seconds> <command>...: until the command succeeds.
within_seconds() {
    local turn
    for ((turn = 0; turn < 20 * $1; ++turn)); do
        "${@:2}" && return
        sleep 0.05
    done
    fail "not within $1 s: ${*:2}"
}

says() { grep -q -- "$2" "$1" 2>/dev/null; }
# Also a zombie, which its new parent has not waited for yet, is gone.
gone() { ! kill -0 "$1" 2>/dev/null || grep -qs '^State:.*Z' "/proc/$1/status"; }
need() { command -v "$1" >/dev/null || { echo "no $1 on this machine"; exit 77; }; }

# ---------------------------------------------------------------------------------------------
# What it does
# ---------------------------------------------------------------------------------------------
case_demo() {
    run cmake/quickstart.sh demo --seconds 3
    expect 0 "heed: the demo has run (built in * s; again with cmake/quickstart.sh)"
    says "$folder/said" "the demo: --seconds 3" || fail "the demo has not got its options"
    run cmake/quickstart.sh --help
    expect 0 "*HEED_CMAKE_OPTIONS*"
    run cmake/quickstart.sh dmeo
    expect 2 "heed: no such command or file: dmeo*"
}

case_tests() {
    run cmake/quickstart.sh test
    expect 1 "heed: 50% tests passed, 1 tests failed out of 2"
    says "$folder/said" "1 - alpha (Failed)" || fail "the failed test is not named"
    says "$tests/quickstart.log" "what alpha of the run printed" || fail "its output is not kept"
    run cmake/quickstart.sh test -R beta
    expect 0 "heed: all 1 tests passed (*)"
    run cmake/quickstart.sh test -R gamma
    expect 0 "heed: 1 tests passed, 1 skipped (*)"
    run cmake/quickstart.sh test -N
    expect 0 "heed: ctest has run no test"
}

case_no_test_matches() {
    run cmake/quickstart.sh test -R nosuch
    expect 1 "heed: no test was run: none matches -R nosuch"
}

case_options_are_words() {
    touch -- -DONE=a-file # that the shell must not find
    HEED_CMAKE_OPTIONS="-DONE=* 
        -DTWO=2" run cmake/quickstart.sh demo
    expect 0 "heed: the demo has run*"
    grep -qxF -e '-DONE=*' "$HOLD/options" || fail "an option has become the names of files"
    grep -qxF -e '-DTWO=2' "$HOLD/options" || fail "the second option is lost"
}

# ---------------------------------------------------------------------------------------------
# How it is called
# ---------------------------------------------------------------------------------------------
case_cdpath() {
    CDPATH=. run bash cmake/quickstart.sh demo
    expect 0 "heed: the demo has run*"
    CDPATH=$folder run bash cmake/quickstart.sh test -R beta
    expect 0 "heed: all 1 tests passed*"
    (cd cmake && CDPATH=.. bash quickstart.sh demo) >"$folder/said" 2>&1
    status=$?
    expect 0 "heed: the demo has run*"
    [[ $(ls "$folder") == $'heed\nhold\nsaid' ]] || fail "something is beside the checkout"
}

case_shells() {
    local shell
    for shell in sh dash ksh zsh "bash --posix"; do
        command -v "${shell%% *}" >/dev/null || continue
        # shellcheck disable=SC2086  # words
        run $shell cmake/quickstart.sh demo
        expect 0 "heed: the demo has run*"
        (cd cmake && $shell quickstart.sh demo --some "two words") >"$folder/said" 2>&1
        status=$?
        expect 0 "heed: the demo has run*"
        says "$folder/said" "the demo: --some two words" || fail "$shell loses the options"
    done
}

case_colours() {
    CLICOLOR_FORCE=1 run cmake/quickstart.sh test -R beta
    expect 0 "heed: all 1 tests passed (*)"
}

# ---------------------------------------------------------------------------------------------
# Two at once
# ---------------------------------------------------------------------------------------------
case_log_of_its_own() {
    need flock
    touch "$HOLD/tests" "$HOLD/build"
    rm "$HOLD/build"
    RUN=one cmake/quickstart.sh test >"$folder/one" 2>&1 &
    local one=$!
    within_seconds 10 test -e "$HOLD/at_work"
    touch "$HOLD/build"
    RUN=two cmake/quickstart.sh test >"$folder/said" 2>&1 &
    local two=$!
    within_seconds 10 says "$folder/said" "Another run is at work in $tests: this one waits"
    rm "$HOLD/at_work" "$HOLD/tests"
    wait "$one" && fail "the first run has not failed"
    says "$folder/one" "Their output is in $tests/quickstart.log" || fail "the first names no log"
    within_seconds 10 test -e "$HOLD/at_work" # the second builds
    says "$tests/quickstart.log" "alpha of one printed" || fail "the first run's log is lost"
    rm "$HOLD/build"
    wait "$two" && fail "the second run has not failed"
    says "$tests/quickstart.log" "alpha of two printed" || fail "the second run's log is not kept"
    says "$tests/quickstart.log" "alpha of one" && fail "two runs are in one log"
    [[ $(cd "$tests" && echo quickstart*) == quickstart.log ]] || fail "a log is left over"
}

case_demo_leaves_the_folder() {
    touch "$HOLD/demo"
    cmake/quickstart.sh demo >"$folder/one" 2>&1 &
    local one=$!
    within_seconds 10 test -e "$HOLD/at_work"
    rm "$HOLD/demo"
    touch "$HOLD/build" # of the second
    cmake/quickstart.sh demo >"$folder/said" 2>&1 &
    local two=$!
    wait "$one" || fail "the first demo has failed"
    within_seconds 10 says "$folder/said" building
    rm "$HOLD/build"
    wait "$two" || fail "the second demo has failed"
    says "$folder/said" "Another run" && fail "a demo that runs keeps others from building"
    return 0
}

# ---------------------------------------------------------------------------------------------
# Signals
# ---------------------------------------------------------------------------------------------
# ends_on <signal> <number> <what waits> <step> <option>...
ends_on() {
    local worker pid
    rm -rf -- "$HOLD" "$folder/heed/build"
    mkdir "$HOLD"
    touch "$HOLD/$3"
    set -m # otherwise what runs behind ignores INT
    cmake/quickstart.sh "${@:5}" >"$folder/said" 2>&1 &
    pid=$!
    set +m
    within_seconds 10 test -e "$HOLD/at_work"
    worker=$(<"$HOLD/at_work")
    kill "-$1" "$pid"
    wait "$pid"
    status=$?
    expect $((128 + $2)) "heed: interrupted while $4"
    gone "$worker" || fail "$1 while $4: the work goes on without the script"
    [[ -e $folder/heed/build/$5/quickstart.log ]] || fail "the log of what was done is not kept"
}

case_signals() {
    ends_on HUP 1 build building demo
    ends_on INT 2 build building demo
    ends_on TERM 15 build building test
    ends_on HUP 1 tests "running the tests" test
    ends_on INT 2 tests "running the tests" test
    ends_on QUIT 3 tests "running the tests" test
    ends_on HUP 1 demo "running the demo" demo
    ends_on TERM 15 demo "running the demo" demo
}

case_signal_while_waiting() {
    need flock
    touch "$HOLD/tests"
    cmake/quickstart.sh test >"$folder/one" 2>&1 &
    local one=$! two
    within_seconds 10 test -e "$HOLD/at_work"
    cmake/quickstart.sh test >"$folder/said" 2>&1 &
    two=$!
    within_seconds 10 says "$folder/said" "Another run"
    kill -HUP "$two"
    wait "$two"
    status=$?
    expect 129 "heed: interrupted while waiting for another run to end"
    gone "$one" && fail "the first run has ended with the second"
    rm "$HOLD/tests"
    wait "$one" && fail "the first run has not failed"
    says "$tests/quickstart.log" "alpha of the run printed" || fail "the first run's log is lost"
}

case_closed_pipe() {
    ends_on PIPE 13 build building demo
}

# ---------------------------------------------------------------------------------------------
# Where nothing can be written
# ---------------------------------------------------------------------------------------------
# limited_to <KiB> <option>...: no file may grow beyond that.
limited_to() {
    (
        trap "" XFSZ
        ulimit -f "$1"
        LC_ALL=C exec bash cmake/quickstart.sh "${@:2}" 2>&1
    ) | cat
}

case_disk_full() {
    # Files of at most 0 and 1 KiB: the first byte of the log fails, or what is written beside it.
    run limited_to 0 demo
    expect 1 "heed: cannot write to $demo: File too large; HEED_BUILD_FOLDER may name another *"
    run limited_to 1 demo
    expect 1 "heed: cannot write to $demo: File too large; HEED_BUILD_FOLDER may name another *"
    run limited_to 1 test -R beta
    expect 1 "heed: cannot write to $tests: File too large; HEED_BUILD_FOLDER may name another *"

    # A disk that is full, where one may be made.
    unshare -rm true 2>/dev/null || return 0
    # shellcheck disable=SC2016  # for the inner shell
    LC_ALL=C run unshare -rm bash -c 'mount -t tmpfs -o size=256k none "$1" && mkdir -p "$1/test" &&
        { head -c 1M /dev/zero >"$1/fill"; HEED_BUILD_FOLDER=$1 bash cmake/quickstart.sh "${@:2}"; }' \
        full "$HOLD" test
    expect 1 "heed: cannot write to $HOLD/test: No space left on device; HEED_BUILD_FOLDER may *"
}

case_build_folder_elsewhere() {
    HEED_BUILD_FOLDER="$folder/else where" run cmake/quickstart.sh demo
    expect 0 "heed: the demo has run (built in * s in $folder/else where/demo; again with HEED_BUILD_FOLDER=$folder/else where *)"
    HEED_BUILD_FOLDER=../relative run cmake/quickstart.sh test -R beta
    expect 0 "heed: all 1 tests passed (built in * s in $folder/heed/../relative/test, run in * s)"
    [[ ! -e build ]] || fail "something is in the checkout's own build folder"

    touch build # nobody can make a folder in it
    run cmake/quickstart.sh demo
    expect 1 "heed: cannot write to $demo: *; HEED_BUILD_FOLDER may name another folder to build in"

    mkdir "$folder/other" "$folder/other/demo"
    printf 'CMAKE_PROJECT_NAME:STATIC=other\nCMAKE_HOME_DIRECTORY:INTERNAL=/other\n' \
        >"$folder/other/demo/CMakeCache.txt"
    HEED_BUILD_FOLDER=$folder/other run cmake/quickstart.sh demo
    expect 1 "heed: $folder/other/demo is the build folder of another project; *"
    [[ -e $folder/other/demo/CMakeCache.txt ]] || fail "another project's cache is gone"
}

case_checkout_that_has_moved() {
    mkdir -p "$demo"
    printf 'CMAKE_PROJECT_NAME:STATIC=heed\nCMAKE_HOME_DIRECTORY:INTERNAL=/before\n' \
        >"$demo/CMakeCache.txt"
    run cmake/quickstart.sh demo
    expect 0 "heed: the demo has run*"
    [[ ! -e $demo/CMakeCache.txt ]] || fail "the cache of the former folder is used"
}

"case_$3"
