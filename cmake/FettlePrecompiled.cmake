# Two sets of precompiled headers: what is outside of fettle and slow to compile, for layers and for their tests.
# Sources still include what they use: the sanitizer and fuzz presets build without.
option(FETTLE_PCH "Use precompiled headers" ON)
if(NOT FETTLE_PCH)
  return()
endif()

set(outside_headers <algorithm> <filesystem> <functional> <map> <memory> <string> <vector> <fmt/format.h>
                    <nlohmann/json.hpp>)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)

add_library(fettle_precompiled STATIC ${CMAKE_SOURCE_DIR}/cmake/empty.cc)
target_link_libraries(fettle_precompiled PRIVATE fettle_options nlohmann_json::nlohmann_json fmt::fmt Threads::Threads)
target_precompile_headers(fettle_precompiled PRIVATE ${outside_headers})

if(FETTLE_TESTS)
  find_package(GTest REQUIRED)
  # A program, as tests are: position-independent code has another form in programs.
  add_executable(fettle_precompiled_tests ${CMAKE_SOURCE_DIR}/cmake/main.cc)
  target_link_libraries(fettle_precompiled_tests PRIVATE fettle_options nlohmann_json::nlohmann_json fmt::fmt
                                                         Threads::Threads GTest::gtest GTest::gmock)
  target_precompile_headers(fettle_precompiled_tests PRIVATE ${outside_headers} <gmock/gmock.h> <gtest/gtest.h>)
endif()
