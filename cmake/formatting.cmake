# The targets `format`, by which clang-format lays out every C++ file as .clang-format says, and
# `format_check`, which changes nothing and fails where that would. Only where clang-format is
# installed and the sources are a git repository.

find_program(HEED_CLANG_FORMAT NAMES clang-format-14 clang-format)
find_program(HEED_GIT git)
mark_as_advanced(HEED_CLANG_FORMAT HEED_GIT)

# heed_add_formatting(<target> <whether it changes files>)
function(heed_add_formatting target change)
    add_custom_target(${target}
        COMMAND ${CMAKE_COMMAND} "-DCLANG_FORMAT=${HEED_CLANG_FORMAT}" "-DGIT=${HEED_GIT}"
                "-DOUTPUT=${CMAKE_CURRENT_BINARY_DIR}/formatted" "-DCHANGE=${change}"
                -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/format_files.cmake"
        WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" USES_TERMINAL VERBATIM)
endfunction()

if(HEED_CLANG_FORMAT AND HEED_GIT AND EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/.git")
    heed_add_formatting(format ON)
    heed_add_formatting(format_check OFF)
endif()
