# cmake -DCLANG_FORMAT=... -DGIT=... -DOUTPUT=<file> -DCHANGE=ON|OFF -P this file
# Lays out the C++ files below the working folder that git tracks or would, or says which of them are
# not as clang-format makes them, and fails if there is one.

cmake_minimum_required(VERSION 3.22)

# Versions differ in where they break some lines; .ci/run asks Debian 12's.
execute_process(COMMAND "${CLANG_FORMAT}" --version
                OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
if(NOT version MATCHES "version 14[.]")
    string(STRIP "${version}" version)
    message(WARNING "heed's layout is that of clang-format 14; this is ${version}")
endif()

execute_process(COMMAND "${GIT}" ls-files --cached --others --exclude-standard -- *.hpp *.cpp
                OUTPUT_VARIABLE files COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" files "${files}")
set(others "")
set(count 0)
foreach(file IN LISTS files)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
        continue()  # deleted, and git does not know yet
    endif()
    math(EXPR count "${count} + 1")
    # By comparison: --dry-run of clang-format 14 complains of comments that it would not change,
    # and what is as it should be keeps its time, so that nothing is built again.
    execute_process(COMMAND "${CLANG_FORMAT}" "${file}" OUTPUT_FILE "${OUTPUT}"
                    COMMAND_ERROR_IS_FATAL ANY)
    file(SHA256 "${file}" is)
    file(SHA256 "${OUTPUT}" should_be)
    if(NOT is STREQUAL should_be)
        list(APPEND others "${file}")
        if(CHANGE)
            execute_process(COMMAND "${CLANG_FORMAT}" -i "${file}" COMMAND_ERROR_IS_FATAL ANY)
        endif()
    endif()
endforeach()
file(REMOVE "${OUTPUT}")

list(LENGTH others changed)
list(JOIN others "\n  " names)
if(changed EQUAL 0)
    message(STATUS "formatted: all ${count} files")
elseif(CHANGE)
    message(STATUS "laid out anew, ${changed} of ${count} files:\n  ${names}")
else()
    message(FATAL_ERROR "not formatted, ${changed} of ${count} files:\n  ${names}")
endif()
