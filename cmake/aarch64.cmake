# Builds for 64-bit Arm on another machine: Debian's cross compiler, programs linked statically and run by QEMU.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc-12)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
# The linker would warn of what GoogleTest cannot do in a static program.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -Wl,--no-warnings")
# "max" has every instruction set, so that every kernel table runs.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -cpu max)

# Libraries of the machine that builds are none of the target's.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
