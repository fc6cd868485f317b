// What the readers here have in common when they refuse a file.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace fettle {

// 'name' in single quotes; control characters become '?', and what is longer than 96 bytes is cut, with "..." in its
// place.
std::string quote_name(std::string_view name);

// Whether the text is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

// kBadInput when the bytes are not a model but the pointer that Git LFS leaves in its place.
void refuse_lfs_pointer(std::span<const std::byte> bytes, std::string_view where);

}  // namespace fettle
