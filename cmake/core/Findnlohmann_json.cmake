if(NOT TARGET nlohmann_json::nlohmann_json)
  fettle_core_headers(nlohmann_json::nlohmann_json nlohmann)
endif()
set(nlohmann_json_FOUND TRUE)
