// SHA-256 of bytes and files, as lower-case hexadecimal.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace fettle {

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_file(const std::filesystem::path& path);

}  // namespace fettle
