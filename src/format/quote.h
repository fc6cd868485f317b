// Names from untrusted files, made fit for one line of an error message.
#pragma once

#include <string>
#include <string_view>

namespace fettle {

// 'name' in single quotes; control characters become '?', and what is longer than 96 bytes is cut, with "..." in its
// place.
std::string quote_name(std::string_view name);

}  // namespace fettle
