# cmake -DDOXYGEN=<program> -DDOXYFILE=<file> -DDOCS=<folder of pages> -DOUTPUT=<folder>
#       -P expect_pictures.cmake
# Makes the pages alone, without the headers' reference, and succeeds when every picture that a page
# shows lies beside it.
cmake_minimum_required(VERSION 3.22)

file(REMOVE_RECURSE "${OUTPUT}")
file(MAKE_DIRECTORY "${OUTPUT}")
file(READ "${DOXYFILE}" settings)
string(APPEND settings "\nINPUT = \"${DOCS}\"\nFILE_PATTERNS = *.md\nUSE_MDFILE_AS_MAINPAGE =\n"
                       "OUTPUT_DIRECTORY = \"${OUTPUT}\"\n")
file(WRITE "${OUTPUT}/Doxyfile" "${settings}")
execute_process(COMMAND "${DOXYGEN}" "${OUTPUT}/Doxyfile" WORKING_DIRECTORY "${DOCS}/.."
                RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "doxygen failed:\n${said}")
endif()

# What the pages ask for.
set(asked "")
file(GLOB_RECURSE pages "${DOCS}/*.md")
foreach(page IN LISTS pages)
    file(READ "${page}" text)
    string(REGEX MATCHALL "\\([./]*figures/[^)]+\\.png\\)" pictures "${text}")
    foreach(picture IN LISTS pictures)
        string(REGEX REPLACE "^.*figures/(.*).$" "\\1" name "${picture}")
        list(APPEND asked "${name}")
    endforeach()
endforeach()

# What they got.
set(shown "")
file(GLOB pages "${OUTPUT}/html/*.html")
foreach(page IN LISTS pages)
    file(READ "${page}" text)
    string(REGEX MATCHALL "<img src=\"[^\"]+" pictures "${text}")
    foreach(picture IN LISTS pictures)
        string(REPLACE "<img src=\"" "" name "${picture}")
        list(APPEND shown "${name}")
        if(NOT EXISTS "${OUTPUT}/html/${name}")
            message(SEND_ERROR "${page} shows ${name}, which is not there")
        endif()
    endforeach()
endforeach()
foreach(name IN LISTS asked)
    if(NOT name IN_LIST shown)
        message(SEND_ERROR "no page shows ${name}")
    endif()
endforeach()
list(LENGTH asked count)
if(count EQUAL 0)
    message(SEND_ERROR "no pictures in the pages of ${DOCS}")
endif()
message(STATUS "${count} pictures")
