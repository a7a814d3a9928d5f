# Targets as the projects of xsimd and Eigen make them, of headers that state a version and a name.

function(write_header file version)
    string(REPLACE . ";" numbers "${version}")
    set(text "#pragma once\n")
    foreach(macro number IN ZIP_LISTS ARGN numbers)
        string(APPEND text "#define ${macro} ${number}\n")
    endforeach()
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${file}" "${text}")
endfunction()

function(add_own_xsimd version)
    write_header(xsimd/include/xsimd/config/xsimd_config.hpp ${version}
                 XSIMD_VERSION_MAJOR XSIMD_VERSION_MINOR XSIMD_VERSION_PATCH)
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/xsimd/include/xsimd/xsimd.hpp"
         "#define XSIMD_OF_THE_PARENT\n")
    add_library(xsimd INTERFACE)
    target_include_directories(xsimd INTERFACE
        $<BUILD_INTERFACE:${CMAKE_CURRENT_BINARY_DIR}/xsimd/include> $<INSTALL_INTERFACE:include>)
    target_link_libraries(xsimd INTERFACE a_library_that_nobody_has)
endfunction()

function(add_own_eigen version)
    write_header(eigen/Eigen/src/Core/util/Macros.h ${version}
                 EIGEN_WORLD_VERSION EIGEN_MAJOR_VERSION EIGEN_MINOR_VERSION)
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/eigen/Eigen/Core" "#define EIGEN_OF_THE_PARENT\n")
    add_library(eigen INTERFACE)
    add_library(Eigen3::Eigen ALIAS eigen)
    target_include_directories(eigen INTERFACE
        $<BUILD_INTERFACE:${CMAKE_CURRENT_BINARY_DIR}/eigen> $<INSTALL_INTERFACE:include/eigen3>)
endfunction()
