// SHA-256 of a list of texts and numbers, such that no two different lists give the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fettle {

class Digest {
 public:
  void add(std::string_view text);
  void add(int64_t number);
  std::string hex() const;

 private:
  std::string bytes_;
};

}  // namespace fettle
