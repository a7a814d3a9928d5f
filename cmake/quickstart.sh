#!/usr/bin/env bash
#
#   cmake/quickstart.sh [demo] [options of the demo]   train the small transformer of examples/char_lm
#   cmake/quickstart.sh test [options of ctest]        build and run every test
#
# Installs what is missing (apt on Debian and Ubuntu; elsewhere it says what to install), builds in
# build/ beside this folder, and ends with one line that says what happened. HEED_CMAKE_OPTIONS may
# hold further options for CMake.

set -o pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

what=demo
case ${1-} in
    demo | test) what=$1; shift ;;
    -h | --help) sed -n '3,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -* | "") ;;
    *) if [[ ! -e $1 ]]; then
           echo "heed: no such command or file: $1 (try $0 --help)" >&2
           exit 2
       fi ;;
esac

build=$repository/build/$what
log=$build/quickstart.log
step="starting"

# ---------------------------------------------------------------------------------------------
# One line at the end, whatever happens
# ---------------------------------------------------------------------------------------------
last_words=""

finish() {
    local status=$?
    # Under sudo the build folder must stay usable without it.
    if [[ $EUID -eq 0 && -n ${SUDO_UID-} && -d $repository/build ]]; then
        chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$repository/build" 2>/dev/null
    fi
    if [[ -n $last_words ]]; then
        echo "heed: $last_words"
    elif [[ $status -ne 0 ]]; then
        echo "heed: failed while $step (status $status)"
    fi
    exit "$status"
}
trap finish EXIT
job="" # the group of processes that is at work
interrupt() {
    [[ -n $job ]] && kill -TERM -- "-$job" 2>/dev/null
    echo
    last_words="interrupted while $step"
    exit 130
}
trap interrupt INT TERM

# give_up <message>: the end of the log, then the one line.
give_up() {
    clear_line
    if [[ -s $log ]]; then
        echo "---- the last lines of $log"
        tail -n 30 "$log"
        echo "----"
    fi
    last_words=$1
    exit 1
}

# ---------------------------------------------------------------------------------------------
# Progress: one line that is rewritten on a terminal, a line now and then elsewhere
# ---------------------------------------------------------------------------------------------
terminal=no
[[ -t 1 && ${TERM:-dumb} != dumb ]] && terminal=yes

clear_line() { [[ $terminal == yes ]] && printf '\r\033[K'; return 0; }

# run <what is being done> <command>...: output goes to the log, the last "3/17" or "40%" in it
# is the progress. Returns the command's status.
run() {
    step=$1
    shift
    local begin=$SECONDS shown=$SECONDS first_line progress
    first_line=$(($(wc -l <"$log") + 1))
    [[ $terminal == no ]] && echo "$step"
    set -m # a process group of its own, so that an interrupt can end all of it
    "$@" >>"$log" 2>&1 </dev/null &
    job=$!
    set +m
    while kill -0 "$job" 2>/dev/null; do
        if [[ $terminal == yes ]] || ((SECONDS - shown >= 15)); then
            shown=$SECONDS
            progress=$(tail -n "+$first_line" "$log" |
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
    job=""
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
# files of tests that are compiled together two.
jobs() {
    local cores memory each
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
    [[ $what == test ]] && each=2000000 || each=1000000
    memory=$(awk -v each="$each" '/MemAvailable/ {print int($2 / each)}' /proc/meminfo 2>/dev/null)
    [[ -n $memory ]] && ((memory < cores)) && cores=$((memory > 0 ? memory : 1))
    echo "$cores"
}

configure() {
    local cache=$build/CMakeCache.txt generator=() options=()
    # A folder configured for a repository that has moved since cannot be used.
    if [[ -e $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$repository" "$cache"; then
        rm -rf "$build/CMakeCache.txt" "$build/CMakeFiles"
    fi
    [[ ! -e $cache ]] && have_command ninja && generator=(-G Ninja)
    options=(-DCMAKE_BUILD_TYPE=Release -DHEED_WARNINGS_AS_ERRORS=OFF -DHEED_BUILD_BENCH=OFF
        -DHEED_BUILD_EXAMPLES=ON)
    [[ $what == test ]] && options+=(-DHEED_BUILD_TESTS=ON -DHEED_TEST_BATCHES=ON) ||
        options+=(-DHEED_BUILD_TESTS=OFF)
    # shellcheck disable=SC2206  # the user's options are words
    options+=(${HEED_CMAKE_OPTIONS-})
    cmake -S "$repository" -B "$build" "${generator[@]}" "${options[@]}"
}

mkdir -p "$build" 2>/dev/null && : >"$log" ||
    { last_words="cannot write to $build"; exit 1; }

# Two runs at once take turns.
if have_command flock; then
    exec 9>"$build/.lock"
    flock 9
fi

install_missing
run "configuring" configure || give_up "CMake could not configure the build; see $log"
target=()
[[ $what == demo ]] && target=(--target char_lm)
build_begin=$SECONDS
run "building" cmake --build "$build" -j "$(jobs)" "${target[@]}" ||
    give_up "the build failed; see $log"
build_time=$((SECONDS - build_begin))
exec 9>&-

# ---------------------------------------------------------------------------------------------
# Run
# ---------------------------------------------------------------------------------------------
if [[ $what == demo ]]; then
    step="running the demo"
    demo=$(find "$build" -type f -name char_lm -perm -u+x | head -n 1)
    [[ -n $demo ]] || give_up "the demo was not built; see $log"
    "$demo" "$@" </dev/null
    status=$?
    if ((status == 0)); then
        last_words="the demo has run (built in $build_time s; again with $0)"
    else
        last_words="the demo stopped with status $status"
    fi
    exit "$status"
fi

run_begin=$SECONDS
(cd "$build" && run_ctest() { ctest -j "$(jobs)" --output-on-failure "$@"; } &&
    run "running the tests" run_ctest "$@")
status=$?
failed=$(sed -n '/^The following tests FAILED:/,$p' "$log")
summary=$(grep -E '^[0-9]+% tests passed' "$log" | tail -n 1)
if ((status == 0)); then
    total=${summary##* }
    last_words="all $total tests passed (built in $build_time s, run in $((SECONDS - run_begin)) s)"
    exit 0
fi
if [[ -n $failed ]]; then
    grep -v '^Errors while running' <<<"$failed"
    echo "Their output is in $log"
    last_words="$summary"
    exit 1
fi
give_up "ctest could not run; see $log"
