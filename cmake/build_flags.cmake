# Warnings and sanitizers, linked PRIVATE by every target of ours: duet::build_flags.
add_library(duet_build_flags INTERFACE)
add_library(duet::build_flags ALIAS duet_build_flags)
target_compile_options(duet_build_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers
  # gcc 12 sees overlaps in std::string's operator+ that are not there (its bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)

# One binary for every x86-64 since 2009; faster paths are chosen at run time (oneDNN does so itself).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  target_compile_options(duet_build_flags INTERFACE -march=x86-64-v2)
endif()

if(DUET_SANITIZE)
  # Instrumented code confuses GCC's flow analysis: it then takes Boost's optional for uninitialised, and
  # Asio's coroutine frames for freed by the wrong function. The release preset keeps these warnings. TSan doesn't
  # know the fences around Asio's handlers (-Wtsan); it does know the mutexes of Asio's queues, which order the same.
  target_compile_options(duet_build_flags INTERFACE
    -fsanitize=${DUET_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -Wno-maybe-uninitialized
    -Wno-mismatched-new-delete -Wno-tsan)
  target_link_options(duet_build_flags INTERFACE -fsanitize=${DUET_SANITIZE})
endif()

# Runs with every compilation; generated code is let off (cmake/proto.cmake).
if(DUET_TIDY)
  find_program(CLANG_TIDY clang-tidy-14 REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY ${CLANG_TIDY} --quiet --extra-arg=-Wno-unknown-warning-option)
endif()
