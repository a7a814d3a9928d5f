# For 64-bit Arm on another machine, with Debian's packages g++-aarch64-linux-gnu and qemu-user:
#
#     cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake
#     cmake --build build/aarch64 -j 2 --target heed_test_core && ctest --test-dir build/aarch64 -L core
#
# qemu runs what has been built. Libraries that are headers alone are taken from this machine.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)  # how vectors are passed has changed since GCC 9

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L "${CMAKE_FIND_ROOT_PATH}")

# Debian keeps these headers' package in a folder of the machine's own architecture.
file(GLOB packages LIST_DIRECTORIES ON "/usr/lib/*-linux-gnu/cmake/xsimd")
if(packages AND NOT xsimd_DIR)
    set(xsimd_DIR "${packages}")
endif()
