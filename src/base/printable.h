// Text from outside, made fit for one line of an error message.
#pragma once

#include <string>
#include <string_view>

namespace fettle {

// Control characters and bytes above 0x7e as \xNN; cut with "..." after 160 bytes.
std::string printable(std::string_view text);

}  // namespace fettle
