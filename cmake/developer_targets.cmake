# How heed's own tests, examples and benchmarks are compiled, and the functions that add them:
#
#     heed_add_test(name source...)                 a Catch2 program, a ctest entry a test case;
#                                                   a target a file, for who works on that one
#     heed_add_compile_failure(name file sentence flag...)  must not compile, and say why
#     heed_add_snippet(name)                        examples/snippets/<name>.cpp, run by ctest
#     heed_add_example(name source...)              a program of examples/, tested by
#     heed_example_says(program name code message argument...)
#     heed_add_benchmark(name source...)            a Google Benchmark program

# ----------------------------------------------------------------------------------------------
# Flags, kept apart from heed::heed so that a user never inherits them
# ----------------------------------------------------------------------------------------------
add_library(heed_warnings INTERFACE)
target_compile_options(heed_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       -Wsign-conversion $<$<CXX_COMPILER_ID:GNU>:-Wuseless-cast>
                       $<$<BOOL:${HEED_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # These take the undefined operands inside GCC's own AVX-512 intrinsics for mistakes of those
    # who call them, such as Eigen.
    target_compile_options(heed_warnings INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

add_library(heed_instruction_set INTERFACE)
heed_architecture_flags(heed_flags "${HEED_ARCH}")
target_compile_options(heed_instruction_set INTERFACE ${heed_flags})

add_library(heed_sanitizers INTERFACE)
if(HEED_SANITIZE)
    set(heed_sanitizer_names "${HEED_SANITIZE}")
    if(HEED_SANITIZE STREQUAL "ON")
        set(heed_sanitizer_names "address,undefined")
    endif()
    set(heed_flags -fsanitize=${heed_sanitizer_names} -fno-sanitize-recover=all
                   -fno-omit-frame-pointer)
    target_compile_options(heed_sanitizers INTERFACE ${heed_flags} -g1)
    target_link_options(heed_sanitizers INTERFACE ${heed_flags})
endif()

add_library(heed_developer INTERFACE)
target_link_libraries(heed_developer INTERFACE heed::heed heed_warnings heed_sanitizers)

# heed_developer_target(target): warnings, sanitizers and the chosen instruction set.
function(heed_developer_target target)
    target_link_libraries(${target} PRIVATE heed_developer heed_instruction_set)
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# What editors and clang-tidy ask how a file is compiled: <build>/compile_commands.json.
if("${CMAKE_EXPORT_COMPILE_COMMANDS}" STREQUAL "")  # nobody has said
    set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

# ----------------------------------------------------------------------------------------------
# ccache, when it is there. Precompiled headers need the sloppinesses; what a file includes the
# compiler says while it compiles, and no file is preprocessed before.
# ----------------------------------------------------------------------------------------------
if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(HEED_CCACHE ccache)
    mark_as_advanced(HEED_CCACHE)
    if(HEED_CCACHE)
        set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1
            CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
            ${HEED_CCACHE})
    endif()
endif()

# ----------------------------------------------------------------------------------------------
# Tests
# ----------------------------------------------------------------------------------------------
if(HEED_BUILD_TESTS)
    include(Catch)
endif()

# All the test programs, without snippets and examples.
add_custom_target(heed_tests)

# Labelled with its name: `ctest -L core` runs the tests of tests/core.
function(heed_add_test name)
    set(sources ${ARGN})
    if(HEED_TEST_WITHOUT)
        list(FILTER sources EXCLUDE REGEX "${HEED_TEST_WITHOUT}")
    endif()
    if(NOT sources)
        return()  # a family whose first test is still to be written
    endif()
    set(target heed_test_${name})
    add_executable(${target} ${sources})
    heed_developer_target(${target})
    add_dependencies(heed_tests ${target})
    target_link_libraries(${target} PRIVATE heed_test_support)
    if(NOT name STREQUAL "core")  # which calls none of them, and is built alone in less time
        target_link_libraries(${target} PRIVATE heed_test_kernels)
    endif()
    target_precompile_headers(${target} REUSE_FROM heed_test_support)
    # What the kernels share is then compiled once for eight files. Each file's names are in a
    # namespace of its own.
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${HEED_TEST_BATCHES}
                                               UNITY_BUILD_BATCH_SIZE 8)
    # Catch2's output is kept to what failed: ctest prints it with --output-on-failure.
    catch_discover_tests(${target} TEST_PREFIX "${name}/" PROPERTIES LABELS ${name} TIMEOUT 600)
    foreach(source IN LISTS sources)
        heed_add_test_of_one_file(${name} "${source}")
    endforeach()
endfunction()

# Whoever works on tests/core/test_view.cpp builds the target core.test_view, which is that file
# alone, and runs tests/core/test_view. Only when asked for: it is no part of `all` or of ctest. The
# folder is in the name since two folders may have files of one name.
function(heed_add_test_of_one_file name source)
    cmake_path(GET source STEM stem)
    set(target ${name}.${stem})
    add_executable(${target} EXCLUDE_FROM_ALL "${source}")
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${stem} CXX_EXTENSIONS OFF)
    target_precompile_headers(${target} REUSE_FROM heed_test_support)
    # What the folder's program has, also what its list adds to it later.
    set(whole heed_test_${name})
    target_link_libraries(${target} PRIVATE $<TARGET_PROPERTY:${whole},LINK_LIBRARIES>)
    target_compile_options(${target} PRIVATE $<TARGET_PROPERTY:${whole},COMPILE_OPTIONS>)
    target_compile_definitions(${target} PRIVATE $<TARGET_PROPERTY:${whole},COMPILE_DEFINITIONS>)
endfunction()

# Passes when compiling the file fails and the compiler's output holds the sentence. All of heed is
# compiled once before, in a test of its own: the files then take a third of the time.
function(heed_add_compile_failure name file sentence)  # flags may follow
    cmake_path(ABSOLUTE_PATH file)
    set(includes "$<TARGET_PROPERTY:heed_test_support,INCLUDE_DIRECTORIES>")
    set(precompiled "${CMAKE_CURRENT_BINARY_DIR}/heed.hpp")
    if(NOT TEST compile_failure/heed_compiles)
        add_test(NAME compile_failure/heed_compiles
                 COMMAND "${CMAKE_CXX_COMPILER}" ${CMAKE_CXX20_STANDARD_COMPILE_OPTION}
                         "-I$<JOIN:${includes},;-I>" -w -x c++-header
                         "${PROJECT_SOURCE_DIR}/include/heed/heed.hpp" -o "${precompiled}.gch"
                 COMMAND_EXPAND_LISTS)
        set_tests_properties(compile_failure/heed_compiles PROPERTIES LABELS compile_failure
                             TIMEOUT 300 FIXTURES_SETUP heed_compiles)
    endif()
    string(REPLACE ";" " " flags "${CMAKE_CXX20_STANDARD_COMPILE_OPTION};${ARGN}")
    file(STRINGS "${file}" defines REGEX "^#define")  # what heed is to see when it is included
    if(NOT defines AND NOT ARGN)
        string(APPEND flags " -include ${precompiled}")
    endif()
    add_test(NAME "compile_failure/${name}"
             COMMAND ${CMAKE_COMMAND} "-DCOMPILER=${CMAKE_CXX_COMPILER}"
                     "-DFLAGS=${flags}" "-DINCLUDES=${includes}" "-DFILE=${file}"
                     "-DSENTENCE=${sentence}"
                     -P "${PROJECT_SOURCE_DIR}/cmake/expect_compile_failure.cmake")
    set_tests_properties("compile_failure/${name}" PROPERTIES LABELS compile_failure TIMEOUT 300
                         FIXTURES_REQUIRED heed_compiles)
endfunction()

# ----------------------------------------------------------------------------------------------
# Examples and benchmarks
# ----------------------------------------------------------------------------------------------
function(heed_add_snippet name)
    add_executable(snippet_${name} "${PROJECT_SOURCE_DIR}/examples/snippets/${name}.cpp")
    heed_developer_target(snippet_${name})
    if(HEED_TEST_BATCHES)
        # A fifth of the time. That snippets compile without, `.ci/run snippet` looks at.
        target_link_libraries(snippet_${name} PRIVATE heed_test_kernels)
        target_precompile_headers(snippet_${name} REUSE_FROM heed_test_kernels)
    endif()
    add_test(NAME "snippet/${name}" COMMAND snippet_${name})
    set_tests_properties("snippet/${name}" PROPERTIES LABELS snippet TIMEOUT 300)
endfunction()

# heed_share_kernels(target family...): kernels know no part, so those of each family are compiled
# once for all targets that share them, as the build type says. These targets read heed once, too.
function(heed_share_kernels target)
    set(support "${PROJECT_SOURCE_DIR}/tests/support")
    if(NOT TARGET heed_precompiled)
        add_library(heed_precompiled OBJECT "${support}/precompiled.cpp")
        heed_developer_target(heed_precompiled)
        target_include_directories(heed_precompiled PRIVATE "${PROJECT_SOURCE_DIR}/tests")
        target_precompile_headers(heed_precompiled PRIVATE "${support}/kernels.hpp")
    endif()
    foreach(family IN LISTS ARGN)
        set(kernels heed_${family}_kernels)
        if(NOT TARGET ${kernels})
            add_library(${kernels} STATIC "${support}/${family}_kernels.cpp")
            heed_developer_target(${kernels})
            target_include_directories(${kernels} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
            target_precompile_headers(${kernels} REUSE_FROM heed_precompiled)
        endif()
        target_link_libraries(${target} PRIVATE ${kernels})
    endforeach()
    target_precompile_headers(${target} REUSE_FROM heed_precompiled)
endfunction()

# A program with options, files and pictures: examples/support has what such programs share.
function(heed_add_example name)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE CLI11::CLI11 heed_example_support)
    heed_developer_target(${name})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC 12 takes the undefined operands inside its own AVX-512 intrinsics for mistakes of
        # Eigen's.
        target_compile_options(${name} PRIVATE -Wno-maybe-uninitialized -Wno-uninitialized)
    endif()
endfunction()

# Passes when the program with these arguments ends with the code and says the message.
function(heed_example_says program name code message)
    add_test(NAME "${program}/${name}"
             COMMAND ${CMAKE_COMMAND} "-DCODE=${code}" "-DMESSAGE=${message}" -P
                     "${PROJECT_SOURCE_DIR}/cmake/expect_exit.cmake" --
                     $<TARGET_FILE:${program}> ${ARGN})
    set_tests_properties("${program}/${name}" PROPERTIES LABELS ${program} TIMEOUT 300)
endfunction()

# A source may bring its own main; otherwise the library's is linked.
function(heed_add_benchmark name)
    add_executable(${name} ${ARGN})
    heed_developer_target(${name})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/bench")
    target_link_libraries(${name} PRIVATE benchmark::benchmark_main benchmark::benchmark)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                                             "${PROJECT_BINARY_DIR}/bench")
    if(HEED_TEST_BATCHES)
        heed_share_kernels(${name} attention linear latent)
    endif()
endfunction()
