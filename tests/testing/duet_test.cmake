# duet_test(tier.layer.name SOURCES file... LIBRARIES target... [LESSER_CPUS])
#
# Builds one GoogleTest binary and registers it as one CTest test, labelled with its tier. It runs from the root of the
# sources, and DUET_TEST_DATA (tests/data, read-only) and DUET_SOURCE_DIR are relative to that, so that ccache knows a test's
# objects again in another clone. TIMEOUT is there to end what hangs, and has room for a machine that is twenty times as
# slow as it should be. With LESSER_CPUS it also runs as NAME.avx512 and NAME.avx2, where oneDNN and Duet's own kernels use
# what older CPUs have and no more.
function(duet_test name)
  cmake_parse_arguments(ARG "LESSER_CPUS" "TIMEOUT" "SOURCES;LIBRARIES" ${ARGN})
  string(REGEX REPLACE "\\..*$" "" tier ${name})
  string(REPLACE "." "_" target ${name})
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES} duet::build_flags GTest::gmock_main)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${target} PRIVATE
    DUET_TEST_DATA="tests/data" DUET_SOURCE_DIR=".")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  # As the services wait (docs/adr/0204): spinning threads of two tests on two cores hold each other up.
  set(environment OMP_WAIT_POLICY=passive)
  if(DUET_SANITIZE MATCHES "thread")
    list(APPEND environment "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan_suppressions.txt")
  endif()
  add_test(NAME ${name} COMMAND ${target} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${tier} TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${environment}")
  if(ARG_LESSER_CPUS)
    foreach(cpu avx512 avx2)
      string(TOUPPER ${cpu} isa)
      string(REPLACE AVX512 AVX512_CORE isa ${isa})
      add_test(NAME ${name}.${cpu} COMMAND ${target} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${name}.${cpu} PROPERTIES LABELS ${tier} TIMEOUT ${ARG_TIMEOUT}
        ENVIRONMENT "${environment};ONEDNN_MAX_CPU_ISA=${isa}")
    endforeach()
  endif()
endfunction()
