#!/usr/bin/env bash
#
#   cmake/quickstart.sh [demo] [options of the demo]   train the small transformer of examples/char_lm
#   cmake/quickstart.sh test [options of ctest]        build and run every test
#
# Installs what is missing (apt on Debian and Ubuntu; elsewhere it says what to install), builds in
# build/ beside this folder, and ends with one line that says what happened. HEED_BUILD_FOLDER may
# name another folder to build in, HEED_CMAKE_OPTIONS hold further options for CMake.

# shellcheck disable=SC2317  # functions are called by trap and by run
# Other shells cannot read what follows.
if [ -z "${BASH_VERSION-}" ]; then
    command -v bash >/dev/null 2>&1 && exec bash -- "$0" "$@"
    echo "heed: $0 is a script for bash, which is not installed" >&2
    exit 1
fi

{ # bash reads all of this before it runs any: an update meanwhile may change the file

set +o posix -o pipefail
# With these, cd prints where it goes, and ctest colours the lines that are looked for here.
unset CDPATH CLICOLOR_FORCE

repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

what=demo
case ${1-} in
    demo | test) what=$1; shift ;;
    -h | --help) sed -n '1,2d; /^#/!q; s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -* | "") ;;
    *) if [[ ! -e $1 ]]; then
           echo "heed: no such command or file: $1 (try $0 --help)" >&2
           exit 2
       fi ;;
esac

folder=${HEED_BUILD_FOLDER:-$repository/build}
[[ $folder == /* ]] || folder=$PWD/$folder
build=$folder/$what
# A run writes a log of its own, which takes the place of the last one's when it ends.
log=$build/quickstart.log
own_log=$build/quickstart.$$.log
step="starting"

# ---------------------------------------------------------------------------------------------
# One line at the end, whatever happens
# ---------------------------------------------------------------------------------------------
last_words=""
new_folder="" # the outermost that this run has made

# at_work <process group>: zombies, which nobody has waited for yet, do not count.
at_work() {
    kill -0 -- "-$1" 2>/dev/null || return 1
    [[ ! -e /proc/self/stat ]] || grep -qsE "^[0-9]+ \(.*\) [^ZX] [0-9]+ $1 " /proc/[0-9]*/stat
}

# Nothing goes on without the script: what it started is ended, by force after five seconds.
end_job() {
    local group turn
    for group in $(jobs -p); do
        kill -TERM -- "-$group" 2>/dev/null
        for turn in {1..50}; do
            at_work "$group" || break
            sleep 0.1
        done
        ((turn < 50)) || kill -KILL -- "-$group" 2>/dev/null
    done
}

keep_log() { [[ -e $own_log ]] && mv -f -- "$own_log" "$log"; }

finish() {
    local status=$?
    trap '' HUP INT QUIT PIPE TERM
    end_job
    keep_log
    # Under sudo the build folder must stay usable without it.
    if [[ $EUID -eq 0 && -n ${SUDO_UID-} && -d $build ]]; then
        chown -R -- "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "${new_folder:-$build}" 2>/dev/null
    fi
    if [[ -n $last_words ]]; then
        echo "heed: $last_words"
    elif [[ $status -ne 0 ]]; then
        echo "heed: failed while $step (status $status)"
    fi
    exit "$status"
}
trap finish EXIT

# interrupt <number of the signal>
interrupt() {
    trap '' HUP INT QUIT PIPE TERM
    end_job
    echo
    last_words="interrupted while $step"
    exit $((128 + $1))
}
trap 'interrupt 1' HUP
trap 'interrupt 2' INT
trap 'interrupt 3' QUIT
trap 'interrupt 13' PIPE
trap 'interrupt 15' TERM

# give_up <message>: the end of the log, then the one line.
give_up() {
    clear_line
    if keep_log && [[ -s $log ]]; then
        echo "---- the last lines of $log"
        tail -n 30 "$log"
        echo "----"
    fi
    last_words=$1
    exit 1
}

# cannot_write <what the system says>: the line for a folder that takes no files.
cannot_write() {
    give_up "cannot write to $build: ${1##*: }; HEED_BUILD_FOLDER may name another folder to build in"
}

# ---------------------------------------------------------------------------------------------
# Progress: one line that is rewritten on a terminal, a line now and then elsewhere
# ---------------------------------------------------------------------------------------------
terminal=no
[[ -t 1 && ${TERM:-dumb} != dumb ]] && terminal=yes

clear_line() { [[ $terminal == yes ]] && printf '\r\033[K'; return 0; }

# start <command>...: in a process group of its own, so that all of it can be ended.
start() {
    set -m
    "$@" </dev/null &
    job=$!
    set +m
}

# Where the disk is full a command may end well, and what it wrote is not there. So there must be
# room for some more.
expect_room() {
    local error
    error=$( (head -c 65536 /dev/zero >"$build/.room") 2>&1) || {
        rm -f -- "$build/.room"
        cannot_write "${error:-No space left}"
    }
    rm -f -- "$build/.room"
}

logged() { "$@" >>"$own_log" 2>&1; }

# run <what is being done> <command>...: output goes to the log, the last "3/17" or "40%" in it
# is the progress. Returns the command's status, and sets first_line to where its output begins.
run() {
    step=$1
    shift
    local begin=$SECONDS shown=$SECONDS progress error
    error=$( (echo "==== $step" >>"$own_log") 2>&1) || cannot_write "$error"
    first_line=$(($(wc -l <"$own_log") + 1))
    [[ $terminal == no ]] && echo "$step"
    start logged "$@"
    while kill -0 "$job" 2>/dev/null; do
        if [[ $terminal == yes ]] || ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            progress=$(tail -n "+$first_line" "$own_log" |
                grep -Eo '^(\[ *[0-9]+/[0-9]+\]|\[ *[0-9]+%\]| *[0-9]+/[0-9]+ Test)' |
                tail -n 1 | tr -d '[] ' | sed 's/Test//')
            if [[ $terminal == yes ]]; then
                printf '\r\033[K%s  %s  %d s' "$step" "$progress" $((SECONDS - begin))
            else
                printf '%s  %s  %d s\n' "$step" "$progress" $((SECONDS - begin))
            fi
        fi
        sleep 0.1
    done
    clear_line
    wait "$job"
    local status=$?
    expect_room
    return "$status"
}

# ---------------------------------------------------------------------------------------------
# What is needed, and installing it
# ---------------------------------------------------------------------------------------------
have_command() { command -v "$1" >/dev/null 2>&1; }
have_header() {
    local folder
    for folder in /usr/include /usr/local/include /usr/include/eigen3 /usr/local/include/eigen3 \
        /opt/homebrew/include /opt/homebrew/include/eigen3; do
        [[ -e $folder/$1 ]] && return 0
    done
    return 1
}

tools=()      # without these nothing can be built
libraries=()  # CMake fetches these if they cannot be installed
extras=()     # these make the demo's pictures

find_missing() {
    tools=() libraries=() extras=()
    have_command "${CXX:-c++}" || tools+=(g++)
    have_command cmake || tools+=(cmake)
    have_command ninja || have_command make || tools+=(ninja-build)
    have_header Eigen/Core || libraries+=(libeigen3-dev)
    have_header xsimd/xsimd.hpp || libraries+=(libxsimd-dev)
    have_header CLI/CLI.hpp || libraries+=(libcli11-dev)
    if [[ $what == test ]]; then
        have_header catch2/catch.hpp || have_header catch2/catch_all.hpp || libraries+=(catch2)
    fi
    have_command gnuplot || extras+=(gnuplot-nox)
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y
        -o DPkg::Lock::Timeout=300 --no-install-recommends)
    # The lists of a fresh machine are empty or old: then they are brought up to date.
    "${apt[@]}" install "$@" || { "${apt[@]}" update && "${apt[@]}" install "$@"; }
}

install_missing() {
    find_missing
    local missing=("${tools[@]}" "${libraries[@]}" "${extras[@]}")
    ((${#missing[@]})) || return 0

    local as_root=()
    if ! have_command apt-get; then
        echo "This machine has no apt-get. Please install what Debian calls: ${missing[*]}"
        echo "  Fedora: dnf install gcc-c++ cmake ninja-build eigen3-devel xsimd-devel catch-devel cli11-devel gnuplot"
        echo "  Arch:   pacman -S gcc cmake ninja eigen xsimd catch2 cli11 gnuplot"
        echo "  macOS:  brew install cmake ninja eigen xsimd catch2 cli11 gnuplot"
    elif [[ $EUID -eq 0 ]]; then
        run "installing ${missing[*]}" install_packages "${missing[@]}"
    elif have_command sudo && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
        as_root=(sudo -n)
        run "installing ${missing[*]}" install_packages "${missing[@]}"
    else
        echo "Not root, and sudo is not available. Please run:  apt-get install ${missing[*]}"
    fi

    find_missing
    if ((${#tools[@]})); then
        give_up "cannot build: ${tools[*]} missing"
    fi
    if ((${#libraries[@]})); then
        echo "Not installed, so CMake will try to fetch it: ${libraries[*]}"
    fi
    if ((${#extras[@]})); then
        echo "Not installed, so there may be no pictures: ${extras[*]}"
    fi
}

# ---------------------------------------------------------------------------------------------
# Configure and build
# ---------------------------------------------------------------------------------------------
# As many compilers as there are cores, but no more than memory holds: templates take a GB each,
# files of tests that are compiled together three.
at_once() {
    local cores memory each
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
    [[ $what == test ]] && each=3000000 || each=1000000
    memory=$(awk -v each="$each" '/MemAvailable/ {print int($2 / each)}' /proc/meminfo 2>/dev/null)
    [[ -n $memory ]] && ((memory < cores)) && cores=$((memory > 0 ? memory : 1))
    echo "$cores"
}

configure() {
    local cache=$build/CMakeCache.txt generator=() options=() words=()
    # A folder configured for a repository that has moved since cannot be used.
    if [[ -e $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$repository" "$cache"; then
        rm -rf -- "$cache" "$build/CMakeFiles"
    fi
    [[ ! -e $cache ]] && have_command ninja && generator=(-G Ninja)
    options=(-DCMAKE_BUILD_TYPE=Release -DHEED_WARNINGS_AS_ERRORS=OFF -DHEED_BUILD_BENCH=OFF
        -DHEED_BUILD_EXAMPLES=ON)
    [[ $what == test ]] && options+=(-DHEED_BUILD_TESTS=ON -DHEED_TEST_BATCHES=ON) ||
        options+=(-DHEED_BUILD_TESTS=OFF)
    read -r -d '' -a words < <(printf '%s\0' "${HEED_CMAKE_OPTIONS-}")
    cmake -S "$repository" -B "$build" "${generator[@]}" "${options[@]}" "${words[@]}"
}

# Makes the folder; new_folder is the outermost that was not there.
make_folder() {
    local outer=$build error
    while [[ ! -e $outer ]]; do
        new_folder=$outer
        outer=$(dirname -- "$outer")
    done
    error=$( (mkdir -p -- "$build" && : >>"$build/.lock") 2>&1) || cannot_write "$error"
}

# Two runs at once take turns.
take_turn() {
    have_command flock || return 0
    exec 9>>"$build/.lock"
    flock -n 9 2>/dev/null
    if (($? == 1)); then # another has it; more would say that there are no locks here
        step="waiting for another run to end"
        echo "Another run is at work in $build: this one waits for it to end"
        until flock -n 9; do sleep 0.2; done
    fi
    rm -f -- "$build"/quickstart.*.log # of runs that were killed
}

make_folder
take_turn
: >"$own_log"
install_missing
if grep -E '^CMAKE_PROJECT_NAME:' "$build/CMakeCache.txt" 2>/dev/null | grep -qv '=heed$'; then
    give_up "$build is the build folder of another project; HEED_BUILD_FOLDER may name a new one"
fi
run "configuring" configure || give_up "CMake could not configure the build; see $log"
target=()
[[ $what == demo ]] && target=(--target char_lm)
build_begin=$SECONDS
run "building" cmake --build "$build" -j "$(at_once)" "${target[@]}" ||
    give_up "the build failed; see $log"
built="built in $((SECONDS - build_begin)) s"
again=$0
if [[ -n ${HEED_BUILD_FOLDER-} ]]; then
    built+=" in $build"
    again="HEED_BUILD_FOLDER=$HEED_BUILD_FOLDER $0"
fi

# ---------------------------------------------------------------------------------------------
# Run
# ---------------------------------------------------------------------------------------------
if [[ $what == demo ]]; then
    step="running the demo"
    demo=$(find "$build" -type f -name char_lm -perm -u+x | head -n 1)
    [[ -n $demo ]] || give_up "the demo was not built; see $log"
    # It may run for long, and needs nothing more of the folder.
    keep_log
    exec 9>&-
    start "$demo" "$@"
    wait "$job"
    status=$?
    if ((status == 0)); then
        last_words="the demo has run ($built; again with $again)"
    else
        last_words="the demo stopped with status $status"
    fi
    exit "$status"
fi

# The tests' programs must not be built anew beneath them: the turn ends with the script.
run_begin=$SECONDS
run "running the tests" ctest --test-dir "$build" -j "$(at_once)" --output-on-failure \
    --no-tests=error "$@"
status=$?
said() { tail -n "+$first_line" "$own_log"; }
summary=$(said | grep -E '^[0-9]+% tests passed' | tail -n 1)
if said | grep -q '^No tests were found'; then
    last_words="no test was run: none matches $*"
    exit 1
fi
if ((status == 0)) && [[ -z $summary ]]; then
    said
    last_words="ctest has run no test"
    exit 0
fi
# The lists of those that failed and of those that did not run.
said | awk '/^The following tests / { list = 1; print; next } !/^[ \t]/ { list = 0 } list'
if ((status == 0)); then
    skipped=$(said | grep -cE '^[[:space:]]+[0-9]+ - .*\(Skipped\)')
    last_words="all ${summary##* } tests passed"
    ((skipped == 0)) || last_words="$((${summary##* } - skipped)) tests passed, $skipped skipped"
    last_words+=" ($built, run in $((SECONDS - run_begin)) s)"
    exit 0
fi
[[ -n $summary ]] || give_up "ctest could not run; see $log"
echo "Their output is in $log"
last_words=$summary
exit 1
}
