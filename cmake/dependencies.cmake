# What heed and its tests are built on: an installed package wherever there is one that is new
# enough, and a fixed version fetched where there is none.

include(FetchContent)
include(heed_packages)
set(FETCHCONTENT_QUIET ON)

# heed_find(<package> <least version> <target>): sets <package>_OK when there is one that is new
# enough; one that is too old is an error.
macro(heed_find package least target)
    heed_look_for(${package} ${least} ${target} CONFIG)
    set(${package}_OK OFF)
    if(heed_lack STREQUAL "old")
        message(FATAL_ERROR "${heed_lack_reason}")
    elseif(NOT heed_lack)
        set(${package}_OK ON)
    endif()
endmacro()

# heed_expect_fetching(<package> <version to fetch> <name of the sources>): an error where nothing may
# be fetched, unless the sources are there. To be called when heed_find has found none.
function(heed_expect_fetching package version name)
    string(TOUPPER "${name}" upper)
    string(TOLOWER "${name}" lower)
    set(sources FETCHCONTENT_SOURCE_DIR_${upper})
    if(NOT ${sources} AND NOT HEED_FETCH)
        set(prohibition "HEED_FETCH=OFF")
    elseif(NOT ${sources} AND FETCHCONTENT_FULLY_DISCONNECTED
           AND NOT EXISTS "${FETCHCONTENT_BASE_DIR}/${lower}-src")
        set(prohibition "FETCHCONTENT_FULLY_DISCONNECTED=ON")
    endif()
    if(prohibition)
        message(FATAL_ERROR "${heed_lack_reason} Nor may it be fetched (${prohibition}), unless "
                            "${sources} names the folder of its sources.")
    endif()
    message(STATUS "${package} is not installed: fetching ${version}")
endfunction()

# Fetched sources are other people's: their headers must not warn in our builds.
function(heed_mark_as_system)
    foreach(target IN LISTS ARGN)
        get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
        if(directories)
            set_target_properties(${target} PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
                                                       "${directories}")
        endif()
    endforeach()
endfunction()

# heed_fetch_headers(<name> <folder of the headers> <one of them> <target> <how to fetch>...): only
# the headers are wanted, and a SOURCE_SUBDIR that does not exist fetches without configuring.
function(heed_fetch_headers name folder header target)
    FetchContent_Declare(${name} ${ARGN} SOURCE_SUBDIR no-build)
    FetchContent_MakeAvailable(${name})
    FetchContent_GetProperties(${name} SOURCE_DIR source)
    if(NOT EXISTS "${source}/${folder}/${header}")
        message(FATAL_ERROR "${source} has no ${folder}/${header}: remove it to fetch it anew.")
    endif()
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${source}/${folder}")
endfunction()

# ----------------------------------------------------------------------------------------------
# For users
# ----------------------------------------------------------------------------------------------
set(heed_needs Eigen3::Eigen xsimd Threads::Threads)
set(heed_has "")
foreach(target IN LISTS heed_needs)
    if(TARGET ${target})
        list(APPEND heed_has ${target})
    endif()
endforeach()

find_package(Threads REQUIRED)

heed_find(Eigen3 ${heed_least_Eigen3} Eigen3::Eigen)
if(NOT Eigen3_OK)
    heed_expect_fetching(Eigen3 3.4.0 eigen)
    heed_fetch_headers(eigen . Eigen/Core Eigen3::Eigen
                       GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git
                       GIT_TAG 3.4.0 GIT_SHALLOW ON)
endif()

heed_find(xsimd ${heed_least_xsimd} xsimd)
if(xsimd_OK)
    heed_add_xsimd()
else()
    heed_expect_fetching(xsimd 13.0.0 xsimd_headers)
    heed_fetch_headers(xsimd_headers include xsimd/xsimd.hpp heed::xsimd
                       GIT_REPOSITORY https://github.com/xtensor-stack/xsimd.git
                       GIT_TAG 13.0.0 GIT_SHALLOW ON)
endif()

# What was found here belongs to this folder: a project that adds heed as a part of it sees it, and
# so heed, only once it is global.
foreach(target IN LISTS heed_needs)
    if(TARGET ${target} AND NOT target IN_LIST heed_has)
        get_target_property(heed_is_imported ${target} IMPORTED)
        if(heed_is_imported)
            set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
        endif()
    endif()
endforeach()

# ----------------------------------------------------------------------------------------------
# For developers
# ----------------------------------------------------------------------------------------------
if(HEED_BUILD_TESTS)
    heed_find(Catch2 2.11 Catch2::Catch2)
    if(NOT Catch2_OK)
        heed_expect_fetching(Catch2 3.7.1 Catch2)
        FetchContent_Declare(Catch2 GIT_REPOSITORY https://github.com/catchorg/Catch2.git
                                    GIT_TAG v3.7.1 GIT_SHALLOW ON)
        FetchContent_MakeAvailable(Catch2)
        heed_mark_as_system(Catch2 Catch2WithMain)
        list(APPEND CMAKE_MODULE_PATH "${catch2_SOURCE_DIR}/extras")
        set(Catch2_VERSION 3.7.1)
    endif()
endif()

if(HEED_BUILD_BENCH)
    heed_find(benchmark 1.6 benchmark::benchmark)
    if(NOT benchmark_OK)
        heed_expect_fetching(benchmark 1.9.1 benchmark)
        set(BENCHMARK_ENABLE_TESTING OFF CACHE BOOL "" FORCE)
        set(BENCHMARK_ENABLE_INSTALL OFF CACHE BOOL "" FORCE)
        FetchContent_Declare(benchmark GIT_REPOSITORY https://github.com/google/benchmark.git
                                       GIT_TAG v1.9.1 GIT_SHALLOW ON)
        FetchContent_MakeAvailable(benchmark)
        heed_mark_as_system(benchmark)
    endif()
endif()

if(HEED_BUILD_EXAMPLES)
    heed_find(CLI11 2.1 CLI11::CLI11)
    if(NOT CLI11_OK)
        heed_expect_fetching(CLI11 2.4.2 cli11)
        heed_fetch_headers(cli11 include CLI/CLI.hpp CLI11::CLI11
                           GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git
                           GIT_TAG v2.4.2 GIT_SHALLOW ON)
    endif()
endif()

# Two more, for what reads models: that is left out where one of the two is missing.
if(HEED_BUILD_EXAMPLES OR HEED_BUILD_TESTS)
    find_package(nlohmann_json 3.9 QUIET CONFIG)
    find_path(HEED_UTF8PROC_INCLUDE utf8proc.h)
    find_library(HEED_UTF8PROC_LIBRARY utf8proc)
    mark_as_advanced(HEED_UTF8PROC_INCLUDE HEED_UTF8PROC_LIBRARY)
    set(heed_reads_models OFF)
    if(TARGET nlohmann_json::nlohmann_json AND HEED_UTF8PROC_INCLUDE AND HEED_UTF8PROC_LIBRARY)
        set(heed_reads_models ON)
        add_library(heed::utf8proc UNKNOWN IMPORTED)
        set_target_properties(heed::utf8proc PROPERTIES
                              IMPORTED_LOCATION "${HEED_UTF8PROC_LIBRARY}"
                              INTERFACE_INCLUDE_DIRECTORIES "${HEED_UTF8PROC_INCLUDE}")
    else()
        message(STATUS "The examples encoder and decoder are left out: they need nlohmann-json 3.9 "
                       "or newer and utf8proc (Debian: nlohmann-json3-dev, libutf8proc-dev)")
    endif()
endif()
