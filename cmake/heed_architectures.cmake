# The compile flags of the instruction sets that heed is tuned for, and the helper for programs
# that choose among them at run time. Installed with heed. docs/runtime_dispatch.md shows its use.

# heed_architecture_flags(<variable> <native|sse2|avx2|avx512>): the flags, as a list.
function(heed_architecture_flags variable architecture)
    if(architecture STREQUAL "native")
        set(flags -march=native)
    elseif(architecture STREQUAL "sse2")
        set(flags -march=x86-64)
    elseif(architecture STREQUAL "avx2")
        set(flags -march=x86-64 -mavx2 -mfma -mbmi -mbmi2)
    elseif(architecture STREQUAL "avx512")
        set(flags -march=x86-64 -mavx2 -mfma -mbmi -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl)
    else()
        message(FATAL_ERROR "unknown architecture \"${architecture}\": it may be native, sse2, "
                            "avx2 or avx512")
    endif()
    set(${variable} "${flags}" PARENT_SCOPE)
endfunction()

# heed_add_architectures(<target> <source>... ARCHS sse2 avx2 avx512)
#
# Compiles each source once an architecture and links all the objects into <target>. In each of
# the compilations HEED_ENTRY is the name of the architecture, for the namespace that holds the
# entry points:
#
#     namespace kernels::HEED_ENTRY { void attention(float* o, const float* q, ...); }
#
# so that the program can call kernels::sse2::attention or kernels::avx512::attention. Name the
# least architecture first: where std or Eigen functions have ended up in several objects, the
# linker keeps the first. The objects are compiled as <target>'s own sources are, which must not be
# given -m flags.
function(heed_add_architectures target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ARCHS")
    if(NOT arg_ARCHS OR NOT arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "heed_add_architectures(<target> <source>... ARCHS <architecture>...)")
    endif()
    foreach(architecture IN LISTS arg_ARCHS)
        heed_architecture_flags(flags ${architecture})
        set(objects ${target}_${architecture})
        add_library(${objects} OBJECT ${arg_UNPARSED_ARGUMENTS})
        target_compile_definitions(${objects} PRIVATE HEED_ENTRY=${architecture}
            $<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>)
        target_include_directories(${objects} PRIVATE
            $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
        target_compile_options(${objects} PRIVATE
            $<TARGET_PROPERTY:${target},COMPILE_OPTIONS> ${flags})
        target_link_libraries(${objects} PRIVATE heed::heed)
        set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE
            "$<BOOL:$<TARGET_PROPERTY:${target},POSITION_INDEPENDENT_CODE>>")
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
        string(TOUPPER ${architecture} upper)
        target_compile_definitions(${target} PRIVATE HEED_HAS_${upper}=1)
    endforeach()
endfunction()
