# From Debian's package googletest, which has the sources.
if(NOT TARGET GTest::gtest)
  find_path(GTEST_SOURCE_DIR googletest/src/gtest-all.cc PATHS /usr/src/googletest NO_CMAKE_FIND_ROOT_PATH REQUIRED)
  add_library(fettle_gtest STATIC ${GTEST_SOURCE_DIR}/googletest/src/gtest-all.cc
                                  ${GTEST_SOURCE_DIR}/googlemock/src/gmock-all.cc
                                  ${GTEST_SOURCE_DIR}/googletest/src/gtest_main.cc)
  target_include_directories(fettle_gtest SYSTEM PUBLIC ${GTEST_SOURCE_DIR}/googletest/include
                                                        ${GTEST_SOURCE_DIR}/googlemock/include
                                          PRIVATE ${GTEST_SOURCE_DIR}/googletest ${GTEST_SOURCE_DIR}/googlemock)
  add_library(GTest::gtest ALIAS fettle_gtest)
  add_library(GTest::gmock ALIAS fettle_gtest)
  add_library(GTest::gtest_main ALIAS fettle_gtest)
endif()
set(GTest_FOUND TRUE)
