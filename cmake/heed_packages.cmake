# What heed is built on, looked for alike by heed's own build and by find_package(heed), with which
# this file is installed.

set(heed_least_Eigen3 3.4)
set(heed_least_xsimd 8.1)

# heed_version_in_headers(<variable> <package> <target>): the version that the headers of a target
# state; empty where they are not found.
function(heed_version_in_headers variable package target)
    set(files_xsimd xsimd/config/xsimd_config.hpp)
    set(macros_xsimd XSIMD_VERSION_MAJOR XSIMD_VERSION_MINOR XSIMD_VERSION_PATCH)
    set(files_Eigen3 Eigen/Version Eigen/src/Core/util/Macros.h)
    set(macros_Eigen3 EIGEN_WORLD_VERSION EIGEN_MAJOR_VERSION EIGEN_MINOR_VERSION)

    set(${variable} "" PARENT_SCOPE)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    string(REGEX REPLACE "\\$<(BUILD|INSTALL)_INTERFACE:|>" "" folders "${folders}")
    foreach(folder IN LISTS folders)
        foreach(file IN LISTS files_${package})
            if(NOT IS_ABSOLUTE "${folder}" OR NOT EXISTS "${folder}/${file}")
                continue()
            endif()
            set(numbers "")
            foreach(macro IN LISTS macros_${package})
                file(STRINGS "${folder}/${file}" line REGEX "^# *define +${macro} +[0-9]+")
                if(line MATCHES "${macro} +([0-9]+)")
                    list(APPEND numbers ${CMAKE_MATCH_1})
                endif()
            endforeach()
            if(numbers)
                list(JOIN numbers . version)
                set(${variable} "${version}" PARENT_SCOPE)
                return()
            endif()
        endforeach()
    endforeach()
endfunction()

# heed_look_for(<package> <least version> <target> <option of find_package>...): sets heed_lack to
# "", "missing" or "old", and heed_lack_reason to a sentence. A target that the project has made
# itself comes before what is installed, and is judged by its own headers. The version of a package
# is compared here because version files of newer major releases refuse an older request even where
# the package would serve.
macro(heed_look_for package least target)
    set(heed_lack "")
    set(heed_lack_reason "heed needs ${package} ${least} or newer, ")
    if(TARGET ${target} AND "${package}" MATCHES "^(Eigen3|xsimd)$")
        heed_version_in_headers(heed_found ${package} ${target})
        set(heed_place "the headers of the target ${target} of this build. Make it of newer ones.")
    else()
        find_package(${package} QUIET ${ARGN})
        set(heed_found "${${package}_VERSION}")
        set(heed_place "${${package}_DIR}. Install a newer one, or set ${package}_DIR to its folder.")
    endif()
    if(NOT TARGET ${target})
        set(heed_lack "missing")
        string(APPEND heed_lack_reason "which is not installed. If it is, set ${package}_DIR to the "
                                       "folder of its package.")
    elseif(heed_found AND "${heed_found}" VERSION_LESS "${least}")
        set(heed_lack "old")
        string(APPEND heed_lack_reason "and found ${heed_found} in ${heed_place}")
    endif()
endmacro()

# heed::xsimd: the headers of the target xsimd, and nothing else of it. That asks, as some
# distributions build it, for a library (xtl) that they do not install with it.
macro(heed_add_xsimd)
    if(NOT TARGET heed::xsimd)
        add_library(heed::xsimd INTERFACE IMPORTED GLOBAL)
        set_target_properties(heed::xsimd PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
                              "$<TARGET_PROPERTY:xsimd,INTERFACE_INCLUDE_DIRECTORIES>")
    endif()
endmacro()
