# cmake -DCODE=<n> -DMESSAGE=<text> -P expect_exit.cmake -- <program> <argument>...
# Fails unless the program ends with that code and says that text.
set(command)
set(seen_separator OFF)
foreach(i RANGE 1 ${CMAKE_ARGC})
    if(seen_separator AND i LESS CMAKE_ARGC)
        list(APPEND command "${CMAKE_ARGV${i}}")
    elseif("${CMAKE_ARGV${i}}" STREQUAL "--")
        set(seen_separator ON)
    endif()
endforeach()

execute_process(COMMAND ${command} RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
string(FIND "${said}" "${MESSAGE}" place)
if(NOT code STREQUAL CODE OR place EQUAL -1)
    message(FATAL_ERROR "expected exit code ${CODE} and \"${MESSAGE}\"; got ${code} and:\n${said}")
endif()
