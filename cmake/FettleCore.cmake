# FETTLE_CORE builds the layers that run graphs (kernels, executor) where the libraries that reading models and text needs
# are not installed for the target: what is header-only is taken from this machine, GoogleTest from its sources.
set(FETTLE_CORE_LAYERS base tensor kernels graph model runtime)
if(NOT FETTLE_CORE)
  return()
endif()
list(PREPEND CMAKE_MODULE_PATH ${CMAKE_SOURCE_DIR}/cmake/core)

# A header-only library whose headers lie in folder `name` of some include folder of this machine. That folder alone is
# linked to: its neighbours are of this machine's kind.
function(fettle_core_headers target name)
  find_path(${name}_INCLUDE_DIR ${name} PATHS /usr/include NO_CMAKE_FIND_ROOT_PATH REQUIRED)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/headers)
  file(CREATE_LINK ${${name}_INCLUDE_DIR}/${name} ${CMAKE_BINARY_DIR}/headers/${name} SYMBOLIC)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/headers)
endfunction()
