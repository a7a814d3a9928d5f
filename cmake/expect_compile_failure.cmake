# cmake -DCOMPILER=... -DFLAGS=... -DINCLUDES=... -DFILE=... -DSENTENCE=... -P this file
# Succeeds when FILE does not compile, and the compiler's only error is SENTENCE, but for that of
# the missing file by which heed ends a compilation after an #error.

separate_arguments(flags UNIX_COMMAND "${FLAGS}")
list(TRANSFORM INCLUDES PREPEND "-I" OUTPUT_VARIABLE includes)
execute_process(COMMAND "${COMPILER}" ${flags} ${includes} -w -fsyntax-only "${FILE}"
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)

if(result EQUAL 0)
    message(FATAL_ERROR "${FILE} compiles, but must not")
endif()
string(REPLACE ";" "," lines "${output}")  # one error may not become two elements of a list
string(REGEX MATCHALL "error: [^\n]*" errors "${lines}")
list(FILTER errors EXCLUDE REGEX "heed stops here, see the error above")
list(LENGTH errors count)
string(FIND "${errors}" "${SENTENCE}" position)
if(position EQUAL -1 OR NOT count EQUAL 1)
    message("${output}")
    message(FATAL_ERROR "The compiler's only error is not\n    ${SENTENCE}\nbut\n    ${errors}")
endif()
