# `cmake --install`: the headers, and a package that find_package(heed) finds. There is nothing in it
# that depends on the machine, so it lies in share/, where builds for every target look.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(heed_package_folder "${CMAKE_INSTALL_DATAROOTDIR}/cmake/heed")

install(DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/include/heed"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
target_include_directories(heed INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
install(TARGETS heed EXPORT heed_targets)
install(EXPORT heed_targets NAMESPACE heed:: FILE heedTargets.cmake
        DESTINATION "${heed_package_folder}")

configure_package_config_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/heedConfig.cmake.in"
                              "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake"
                              INSTALL_DESTINATION "${heed_package_folder}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake"
              "${CMAKE_CURRENT_SOURCE_DIR}/cmake/heed_architectures.cmake"
              "${CMAKE_CURRENT_SOURCE_DIR}/cmake/heed_packages.cmake"
        DESTINATION "${heed_package_folder}")
install(FILES "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE"
        DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/licenses/heed")
