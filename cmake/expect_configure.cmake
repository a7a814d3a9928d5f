# cmake -DPROJECT=<folder> -DBUILD=<folder> [-DERROR=<text>] [-DCACHED=<line>] [-DTHEN=<build|install>]
#       -P expect_configure.cmake -- <option>...
# Succeeds when the project is configured with the options, its cache has the line, and it is built
# or installed after that; with ERROR when CMake ends with an error of that text, whose lines are
# joined.
cmake_minimum_required(VERSION 3.22)

set(options)
set(seen_separator OFF)
foreach(i RANGE 1 ${CMAKE_ARGC})
    if(seen_separator AND i LESS CMAKE_ARGC)
        list(APPEND options "${CMAKE_ARGV${i}}")
    elseif("${CMAKE_ARGV${i}}" STREQUAL "--")
        set(seen_separator ON)
    endif()
endforeach()

file(REMOVE_RECURSE "${BUILD}")
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${PROJECT}" -B "${BUILD}" ${options}
                RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(ERROR)
    string(REGEX REPLACE "[ \n]+" " " joined "${said}")
    string(FIND "${joined}" "${ERROR}" place)
    if(result EQUAL 0 OR place EQUAL -1)
        message(FATAL_ERROR "no error \"${ERROR}\", but status ${result} and\n${said}")
    endif()
    return()
endif()
if(NOT result EQUAL 0)
    message(FATAL_ERROR "not configured:\n${said}")
endif()
if(CACHED)
    file(STRINGS "${BUILD}/CMakeCache.txt" lines)
    if(NOT CACHED IN_LIST lines)
        message(FATAL_ERROR "${CACHED} is not in ${BUILD}/CMakeCache.txt")
    endif()
endif()
if(THEN)
    execute_process(COMMAND "${CMAKE_COMMAND}" --${THEN} "${BUILD}"
                    RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "no ${THEN}:\n${said}")
    endif()
endif()
