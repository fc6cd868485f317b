# One call per folder of src/: builds the layer's library from every *.cc below the folder, and its tests from *_test.cc.
#
#   fettle_layer(text DEPENDS base tensor LIBRARIES utf8proc)
#
# PRECOMPILED: compiled with the precompiled headers (FettlePrecompiled.cmake); for layers whose files include JSON.
# With FETTLE_CORE (FettleCore.cmake), OUTSIDE (a regular expression) leaves files out that need a library which is not
# there, and CORE_TESTS names the tests that remain ("^$": none): what depends on the processor, on layers that are built.
# DEPENDS names lower layers only (scripts/check verifies the includes). LIBRARIES are outside packages.
# ISA-specific sources get their flags from set_source_files_properties in the layer's own CMakeLists.txt.

find_package(Threads REQUIRED)

add_library(fettle_options INTERFACE)
target_compile_options(fettle_options INTERFACE -Wall -Wextra -Wno-missing-field-initializers -fno-math-errno
                       -ffp-contract=off)
if(FETTLE_SANITIZE)
  target_compile_options(fettle_options INTERFACE -fsanitize=${FETTLE_SANITIZE} -fno-sanitize-recover=all
                         -fno-omit-frame-pointer)
  target_link_options(fettle_options INTERFACE -fsanitize=${FETTLE_SANITIZE})
endif()

include(cmake/FettlePrecompiled.cmake)

function(fettle_layer name)
  cmake_parse_arguments(ARG "PRECOMPILED" "OUTSIDE;CORE_TESTS" "DEPENDS;LIBRARIES;SOURCES;TEST_LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(FETTLE_CORE AND ARG_OUTSIDE)
    list(FILTER sources EXCLUDE REGEX "${ARG_OUTSIDE}")
    list(FILTER tests EXCLUDE REGEX "${ARG_OUTSIDE}")
  endif()
  if(FETTLE_CORE AND ARG_CORE_TESTS)
    list(FILTER tests INCLUDE REGEX "${ARG_CORE_TESTS}")
  endif()
  list(APPEND sources ${ARG_SOURCES})
  if(NOT sources)
    set(sources ${CMAKE_SOURCE_DIR}/cmake/empty.cc)
  endif()

  add_library(fettle_${name} STATIC ${sources})
  target_include_directories(fettle_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>
                                                   $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  set(lower "")
  foreach(layer IN LISTS ARG_DEPENDS)
    if(TARGET fettle_${layer} OR NOT FETTLE_CORE)
      list(APPEND lower fettle_${layer})
    endif()
  endforeach()
  target_link_libraries(fettle_${name} PUBLIC ${lower} ${ARG_LIBRARIES} Threads::Threads
                                       PRIVATE $<BUILD_INTERFACE:fettle_options>)
  if(FETTLE_PCH AND ARG_PRECOMPILED)
    target_precompile_headers(fettle_${name} REUSE_FROM fettle_precompiled)
  endif()

  if(FETTLE_TESTS AND tests)
    find_package(GTest REQUIRED)
    include(GoogleTest)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE fettle_${name} ${ARG_TEST_LIBRARIES} fettle_options GTest::gtest
                                               GTest::gmock GTest::gtest_main)
    target_compile_definitions(${name}_test PRIVATE FETTLE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    # What is tested is optimized; the tests themselves need not be.
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)
    if(FETTLE_PCH)
      target_precompile_headers(${name}_test REUSE_FROM fettle_precompiled_tests)
    endif()
    gtest_discover_tests(${name}_test TEST_PREFIX "${name}/" DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 600)
  endif()
endfunction()
