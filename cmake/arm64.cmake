# Compiles for arm64 on another machine (--preset arm64): with Debian's cross compiler, against the libraries of a Debian for arm64
# that is unpacked below .duet/arm64/sysroot (./duet test --only=arm64 puts it there) and installed nowhere. protoc and gRPC's
# plugin are the building machine's. CTest runs by qemu what was built.
cmake_path(SET arm64_sysroot NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/../.duet/arm64/sysroot)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_SYSROOT ${arm64_sysroot})
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Where the linker finds the libraries of libraries.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,-rpath-link,${arm64_sysroot}/usr/lib/aarch64-linux-gnu)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${arm64_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${arm64_sysroot})
