#include "train/digest.h"

#include <span>

#include "base/sha256.h"

namespace fettle {
namespace {

constexpr size_t kFold = size_t{1} << 20;

std::string digest(const std::string& bytes) {
  return sha256_hex(std::as_bytes(std::span(bytes)));
}

}  // namespace

void Digest::add(int64_t number) {
  add(std::to_string(number));
}

void Digest::add(std::string_view text) {
  bytes_ += std::to_string(text.size());
  bytes_ += ':';
  bytes_ += text;
  if (bytes_.size() > kFold) bytes_ = digest(bytes_);
}

std::string Digest::hex() const {
  return digest(bytes_);
}

}  // namespace fettle
