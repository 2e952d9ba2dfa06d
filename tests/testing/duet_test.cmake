# duet_test(tier.layer.name SOURCES file... LIBRARIES target...)
#
# Builds one GoogleTest binary and registers it as one CTest test, labelled with its tier. DUET_TEST_DATA
# (tests/data, read-only) and DUET_SOURCE_DIR are defined for it. PROCESSORS and TIMEOUT have the tier's default.
function(duet_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBRARIES" ${ARGN})
  string(REGEX REPLACE "\\..*$" "" tier ${name})
  string(REPLACE "." "_" target ${name})
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES} duet::build_flags GTest::gmock_main)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${target} PRIVATE
    DUET_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" DUET_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${target})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${tier} TIMEOUT ${ARG_TIMEOUT})
  # As the services wait (docs/adr/0204): spinning threads of two tests on two cores hold each other up.
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT OMP_WAIT_POLICY=passive)
  if(DUET_SANITIZE MATCHES "thread")
    set_property(TEST ${name} APPEND PROPERTY
      ENVIRONMENT "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan_suppressions.txt")
  endif()
endfunction()
