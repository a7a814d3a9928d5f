# What heed and its tests are built on: an installed package wherever there is one that is new
# enough, and a fixed version fetched where there is none.

include(FetchContent)
set(FETCHCONTENT_QUIET ON)

# heed_find(<package> <least version> <target>): sets <package>_OK when an installed package
# provides the target in a good version. The version is compared here because version files of
# newer major releases refuse an older request even where the package would serve.
macro(heed_find package least target)
    set(${package}_OK OFF)
    find_package(${package} CONFIG QUIET)
    if(TARGET ${target})
        if("${${package}_VERSION}" STREQUAL "" OR "${${package}_VERSION}" VERSION_GREATER_EQUAL
                                                  "${least}")
            set(${package}_OK ON)
        else()
            message(FATAL_ERROR
                    "heed needs ${package} ${least} or newer, and found ${${package}_VERSION} in "
                    "${${package}_DIR}. Install a newer one, or set ${package}_DIR to its folder.")
        endif()
    endif()
endmacro()

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

# heed_fetch_headers(<name> <folder of the headers> <target> <how to fetch>...): only the headers
# are wanted, and a SOURCE_SUBDIR that does not exist fetches without configuring.
function(heed_fetch_headers name folder target)
    FetchContent_Declare(${name} ${ARGN} SOURCE_SUBDIR no-build)
    FetchContent_MakeAvailable(${name})
    FetchContent_GetProperties(${name} SOURCE_DIR source)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${source}/${folder}")
endfunction()

# ----------------------------------------------------------------------------------------------
# For users
# ----------------------------------------------------------------------------------------------
find_package(Threads REQUIRED)

heed_find(Eigen3 3.4 Eigen3::Eigen)
if(NOT Eigen3_OK)
    message(STATUS "Eigen is not installed: fetching 3.4.0")
    heed_fetch_headers(eigen . Eigen3::Eigen
                       GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git
                       GIT_TAG 3.4.0 GIT_SHALLOW ON)
endif()

heed_find(xsimd 8.1 xsimd)
if(xsimd_OK)
    include(heed_xsimd)
else()
    message(STATUS "xsimd is not installed: fetching 13.0.0")
    heed_fetch_headers(xsimd_headers include heed::xsimd
                       GIT_REPOSITORY https://github.com/xtensor-stack/xsimd.git
                       GIT_TAG 13.0.0 GIT_SHALLOW ON)
endif()

# ----------------------------------------------------------------------------------------------
# For developers
# ----------------------------------------------------------------------------------------------
if(HEED_BUILD_TESTS)
    heed_find(Catch2 2.11 Catch2::Catch2)
    if(NOT Catch2_OK)
        message(STATUS "Catch2 is not installed: fetching 3.7.1")
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
        message(STATUS "Google Benchmark is not installed: fetching 1.9.1")
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
        message(STATUS "CLI11 is not installed: fetching 2.4.2")
        heed_fetch_headers(cli11 include CLI11::CLI11
                           GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git
                           GIT_TAG v2.4.2 GIT_SHALLOW ON)
    endif()
endif()
