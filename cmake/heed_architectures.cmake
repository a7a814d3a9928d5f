# The compile flags of the instruction sets that heed is tuned for, and the helper for programs
# that choose among them at run time. Installed with heed. docs/runtime_dispatch.md shows its use.

# What runs everywhere comes first. A property, which the functions see wherever they are called.
set_property(GLOBAL PROPERTY HEED_ARCHITECTURES baseline sse2 neon avx2 avx512 native)

# heed_compiles_for(<variable> <x86_64|aarch64>): what the compiler's target is. The compiler is asked,
# once: CMAKE_SYSTEM_PROCESSOR is the machine's name where a cross compiler is all that is set.
function(heed_compiles_for variable processor)
    string(TOUPPER "HEED_COMPILES_FOR_${processor}" answer)
    if(NOT DEFINED ${answer})
        include(CheckCXXSourceCompiles)
        set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # there may be nothing to link with
        set(CMAKE_REQUIRED_QUIET ON)
        check_cxx_source_compiles("#ifndef __${processor}__\n#error\n#endif\nint heed;" ${answer})
        mark_as_advanced(${answer})
    endif()
    set(${variable} ${${answer}} PARENT_SCOPE)
endfunction()

# heed_is_cross_build(<variable>): whether the compiler's target is another machine than this.
function(heed_is_cross_build variable)
    set(cross ${CMAKE_CROSSCOMPILING})
    set(same ON)
    if(CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
        heed_compiles_for(same x86_64)
    elseif(CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        heed_compiles_for(same aarch64)
    endif()
    if(NOT same)
        set(cross ON)
    endif()
    set(${variable} ${cross} PARENT_SCOPE)
endfunction()

# heed_architecture_exists(<variable> <architecture>): whether the compiler's target can have it.
function(heed_architecture_exists variable architecture)
    get_property(known GLOBAL PROPERTY HEED_ARCHITECTURES)
    if(NOT architecture IN_LIST known)
        list(JOIN known ", " names)
        message(FATAL_ERROR "unknown architecture \"${architecture}\": it may be ${names}")
    endif()
    set(exists ON)
    if(architecture STREQUAL "neon")
        heed_compiles_for(exists aarch64)
    elseif(NOT architecture MATCHES "^(baseline|native)$")
        heed_compiles_for(exists x86_64)
    endif()
    set(${variable} ${exists} PARENT_SCOPE)
endfunction()

# heed_architecture_flags(<variable> <architecture>): the flags, as a list.
function(heed_architecture_flags variable architecture)
    heed_architecture_exists(exists ${architecture})
    if(NOT exists)
        message(FATAL_ERROR "the compiler's target has no ${architecture}: use native, or baseline, "
                            "which is what CMAKE_CXX_FLAGS says")
    endif()
    set(flags_baseline "")
    set(flags_neon "")  # every aarch64 has it
    set(flags_sse2 -march=x86-64)
    set(flags_avx2 ${flags_sse2} -mavx2 -mfma -mbmi -mbmi2)
    set(flags_avx512 ${flags_avx2} -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl)
    if(architecture STREQUAL "native")
        heed_is_cross_build(cross)
        if(cross)
            message(FATAL_ERROR "native is the machine that compiles, and this build is for another: "
                                "use baseline, which is what CMAKE_CXX_FLAGS says")
        endif()
        heed_compiles_for(x86 x86_64)
        set(flags_native -mcpu=native)
        if(x86)
            set(flags_native -march=native)
        endif()
    endif()
    set(${variable} "${flags_${architecture}}" PARENT_SCOPE)
endfunction()

# heed_add_architectures(<target> <source>... ARCHS sse2 avx2 avx512)
#
# Compiles each source once an architecture and links all the objects into <target>. In each of
# the compilations HEED_ENTRY is the name of the architecture, for the namespace that holds the
# entry points:
#
#     namespace kernels::HEED_ENTRY { void attention(float* o, const float* q, ...); }
#
# so that the program can call kernels::sse2::attention or kernels::avx512::attention. Architectures
# that the compiler's target cannot have are left out, and HEED_HAS_<ARCHITECTURE> is defined in
# <target> for each of the others. It may be called several times for a target. The objects of the
# least architecture are linked first: where std or Eigen functions have ended up in several objects,
# the linker keeps the first. The objects are compiled as <target>'s own sources are, which must not
# be given -m flags.
function(heed_add_architectures target)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ARCHS")
    if(NOT arg_ARCHS OR NOT arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "heed_add_architectures(<target> <source>... ARCHS <architecture>...)")
    endif()
    list(REMOVE_DUPLICATES arg_ARCHS)
    set(architectures "")
    foreach(architecture IN LISTS arg_ARCHS)
        heed_architecture_exists(exists ${architecture})
        if(exists)
            list(APPEND architectures ${architecture})
        endif()
    endforeach()
    if(NOT architectures)
        list(JOIN arg_ARCHS ", " names)
        message(FATAL_ERROR "heed_add_architectures: the compiler's target has none of ${names}: add "
                            "baseline, which is what CMAKE_CXX_FLAGS says")
    endif()

    foreach(architecture IN LISTS architectures)
        set(objects ${target}_${architecture})
        if(NOT TARGET ${objects})
            heed_add_objects(${target} ${architecture} ${objects})
        endif()
        get_target_property(owner ${objects} HEED_OBJECTS_OF)
        if(NOT owner STREQUAL target)
            message(FATAL_ERROR "heed_add_architectures would make the target ${objects}, and there "
                                "is another of that name")
        endif()
        foreach(source IN LISTS arg_UNPARSED_ARGUMENTS)
            if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
                set(source "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
            endif()
            target_sources(${objects} PRIVATE "${source}")
        endforeach()
    endforeach()

    # All objects anew, in order.
    get_target_property(sources ${target} SOURCES)
    get_property(known GLOBAL PROPERTY HEED_ARCHITECTURES)
    foreach(architecture IN LISTS known)
        set(objects $<TARGET_OBJECTS:${target}_${architecture}>)
        if(architecture IN_LIST architectures OR objects IN_LIST sources)
            list(REMOVE_ITEM sources ${objects})
            list(APPEND sources ${objects})
        endif()
    endforeach()
    list(REMOVE_ITEM sources sources-NOTFOUND)
    set_property(TARGET ${target} PROPERTY SOURCES "${sources}")
endfunction()

# heed_add_objects(<target> <architecture> <objects>): the library of the objects, still without
# sources.
function(heed_add_objects target architecture objects)
    heed_architecture_flags(flags ${architecture})
    add_library(${objects} OBJECT)
    target_compile_definitions(${objects} PRIVATE HEED_ENTRY=${architecture}
        $<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>)
    target_include_directories(${objects} PRIVATE
        $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
    target_compile_options(${objects} PRIVATE
        $<TARGET_PROPERTY:${target},COMPILE_OPTIONS> ${flags})
    target_link_libraries(${objects} PRIVATE heed::heed)
    set_target_properties(${objects} PROPERTIES HEED_OBJECTS_OF ${target})

    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(SHARED|MODULE)_LIBRARY$")
        set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    endif()
    foreach(property CXX_STANDARD CXX_EXTENSIONS CXX_VISIBILITY_PRESET VISIBILITY_INLINES_HIDDEN
                     POSITION_INDEPENDENT_CODE)
        get_property(is_set TARGET ${target} PROPERTY ${property} SET)
        if(is_set)
            get_target_property(value ${target} ${property})
            set_target_properties(${objects} PROPERTIES ${property} "${value}")
        endif()
    endforeach()

    string(TOUPPER ${architecture} upper)
    target_compile_definitions(${target} PRIVATE HEED_HAS_${upper}=1)
endfunction()
