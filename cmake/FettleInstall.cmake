# Installs libraries, public headers and the package that find_package(fettle) finds.
include(CMakePackageConfigHelpers)

set(fettle_layers base tensor kernels text format data graph model runtime train evaluate compress search)
set(fettle_targets "")
foreach(layer IN LISTS fettle_layers)
  list(APPEND fettle_targets fettle_${layer})
endforeach()

add_library(fettle_all INTERFACE)
target_link_libraries(fettle_all INTERFACE fettle_search)
target_include_directories(fettle_all INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(fettle_all PROPERTIES EXPORT_NAME fettle)

install(TARGETS fettle_all ${fettle_targets} fettle_options EXPORT fettleTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/fettle)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/fettle DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT fettleTargets NAMESPACE fettle:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fettle)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/fettleConfig.cmake.in
                              ${CMAKE_BINARY_DIR}/fettleConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fettle)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/fettleConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/fettleConfig.cmake ${CMAKE_BINARY_DIR}/fettleConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fettle)
