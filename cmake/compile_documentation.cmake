# cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DSOURCE=<heed> -DNAMES=<header> -DOUTPUT=<file>
#       -P this file
# Succeeds when every ```cpp block of README.md and docs/ compiles. A page is one function, and a
# block is nested in the block before it: it sees that one's names, and may declare its own again.
# NAMES declares what all pages take for given. On a page, unseen by its reader,
#
#     <!-- given: double rate = 0.1; -->     declares more for all blocks after it
#     <!-- not compiled -->                  leaves out the next block
#
# A block with a main or a namespace of its own stands outside of functions, one of namespace heed
# outside of all namespaces and before everything else.

cmake_minimum_required(VERSION 3.22)

# The text is never a list to CMake: code is full of semicolons and brackets.
function(add_page page result)
    file(READ "${SOURCE}/${page}" rest)
    string(MAKE_C_IDENTIFIER "${page}" name)
    set(body "")
    set(outside "")
    set(of_heed "")
    set(depth "")
    set(line 1)
    set(skip NO)
    while(TRUE)
        set(first -1)
        foreach(opening IN ITEMS "\n```cpp\n" "\n<!-- given: " "\n<!-- not compiled -->")
            string(FIND "${rest}" "${opening}" at)
            if(NOT at EQUAL -1 AND (first EQUAL -1 OR at LESS first))
                set(first ${at})
                set(found "${opening}")
            endif()
        endforeach()
        if(first EQUAL -1)
            break()
        endif()
        string(LENGTH "${found}" length)
        math(EXPR begin "${first} + ${length}")
        string(SUBSTRING "${rest}" 0 ${begin} before)
        string(REGEX MATCHALL "\n" ends "${before}")
        list(LENGTH ends passed)
        math(EXPR line "${line} + ${passed}")
        string(SUBSTRING "${rest}" ${begin} -1 rest)

        if(found STREQUAL "\n<!-- not compiled -->")
            set(skip YES)
            continue()
        endif()
        set(closing "\n```")
        if(found STREQUAL "\n<!-- given: ")
            set(closing "-->")
        endif()
        string(FIND "${rest}" "${closing}" end)
        if(end EQUAL -1)
            message(FATAL_ERROR "${page}:${line}: ${closing} is missing")
        endif()
        string(SUBSTRING "${rest}" 0 ${end} code)
        string(SUBSTRING "${rest}" ${end} -1 rest)
        if(skip AND closing STREQUAL "\n```")
            set(skip NO)
        elseif(code MATCHES "(^|\n)namespace heed")
            string(APPEND of_heed "#line ${line} \"${page}\"\n${code}\n")
        elseif(code MATCHES "(^|\n)(int main\\(|namespace )")
            string(APPEND outside "namespace ${name} {\n#line ${line} \"${page}\"\n${code}\n}\n")
        else()
            string(APPEND body "{\n#line ${line} \"${page}\"\n${code}\n")
            string(APPEND depth "}")
        endif()
        string(REGEX MATCHALL "\n" ends "${code}")
        list(LENGTH ends passed)
        math(EXPR line "${line} + ${passed}")
    endwhile()
    if(NOT body STREQUAL "")
        string(APPEND outside "void ${name}() {\n${body}${depth}\n}\n")
    endif()
    set(${result} "${outside}" PARENT_SCOPE)
    set(${result}_of_heed "${of_heed}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE pages RELATIVE "${SOURCE}" "${SOURCE}/docs/*.md")
set(all "")
set(all_of_heed "")
foreach(page IN ITEMS README.md ${pages})
    add_page("${page}" code)
    string(APPEND all "${code}")
    string(APPEND all_of_heed "${code_of_heed}")
endforeach()
file(WRITE "${OUTPUT}"
     "#include \"${NAMES}\"\n${all_of_heed}\nnamespace documentation {\n${all}}\n")

separate_arguments(flags UNIX_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDES PREPEND "-I" OUTPUT_VARIABLE includes)
execute_process(COMMAND "${COMPILER}" ${flags} ${includes} -w -fsyntax-only "${OUTPUT}"
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "A block of the pages does not compile:\n${output}")
endif()
