# The target `docs`: reference pages of every header, by Doxygen, in <build>/docs/html. Only where
# Doxygen is installed.

find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
    set(DOXYGEN_PROJECT_NUMBER "${PROJECT_VERSION}")
    set(DOXYGEN_OUTPUT_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/docs")
    set(DOXYGEN_STRIP_FROM_PATH "${CMAKE_CURRENT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}")
    set(DOXYGEN_STRIP_FROM_INC_PATH "${CMAKE_CURRENT_SOURCE_DIR}/include")
    set(DOXYGEN_USE_MDFILE_AS_MAINPAGE "${CMAKE_CURRENT_SOURCE_DIR}/README.md")
    set(DOXYGEN_FILE_PATTERNS *.hpp *.md)
    set(DOXYGEN_IMAGE_PATH "${CMAKE_CURRENT_SOURCE_DIR}/docs/figures")
    set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
    set(DOXYGEN_EXTRACT_ALL YES)
    set(DOXYGEN_EXCLUDE_SYMBOLS heed::detail heed::*::detail)
    # The reader knows one namespace: that of the instruction set is a matter of the linker. Pictures
    # are found by the end of their path, wherever the page lies.
    set(DOXYGEN_INPUT_FILTER
        "sed -e s/::inline.HEED_ARCHITECTURE// -e s:[.][./]*/figures/:figures/:g")
    set(DOXYGEN_GENERATE_LATEX NO)
    set(DOXYGEN_HAVE_DOT NO)
    set(DOXYGEN_QUIET YES)
    set(DOXYGEN_WARNINGS NO)
    set(DOXYGEN_WARN_IF_DOC_ERROR NO)
    doxygen_add_docs(docs README.md docs include COMMENT "Reference pages: docs/html/index.html")
    if(HEED_BUILD_TESTS)
        add_test(NAME documentation/pictures
                 COMMAND ${CMAKE_COMMAND} "-DDOXYGEN=${DOXYGEN_EXECUTABLE}"
                         "-DDOXYFILE=${CMAKE_CURRENT_BINARY_DIR}/Doxyfile.docs"
                         "-DDOCS=${CMAKE_CURRENT_SOURCE_DIR}/docs"
                         "-DOUTPUT=${CMAKE_CURRENT_BINARY_DIR}/docs_pictures"
                         -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/expect_pictures.cmake")
        set_tests_properties(documentation/pictures PROPERTIES LABELS documentation TIMEOUT 300)
    endif()
endif()
