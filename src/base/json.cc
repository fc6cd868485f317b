#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/printable.h"

namespace fettle {
namespace {

// Reads characters and leaves behind how far the lexer has come.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

// An array or object that is still open.
struct OpenValue {
  bool is_object = false;
  std::vector<std::pair<std::string, Json>> members;
  std::vector<int64_t> key_ends;  // byte behind each key
  Json::array_t items;
};

// Builds the value bottom up: children are gathered aside and moved into an object of the right size, because appending
// to nlohmann's ordered object looks through all keys and copies values when it grows.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, std::string_view where, const JsonLimits& limits)
      : text_(text), where_(where), limits_(limits), seen_(text.data()) {}

  Json parse() {
    const CountingIterator begin(text_.data(), &seen_);
    const CountingIterator end(text_.data() + text_.size(), &seen_);
    Json::sax_parse(begin, end, this);
    return std::move(root_);
  }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }

  bool key(string_t& value) override {
    open_.back().members.emplace_back(std::move(value), nullptr);
    open_.back().key_ends.push_back(byte());
    return true;
  }

  bool end_object() override {
    OpenValue value = std::move(open_.back());
    open_.pop_back();
    refuse_duplicates(value);
    Json object = Json::object();
    auto& members = static_cast<std::vector<std::pair<const std::string, Json>>&>(object.get_ref<Json::object_t&>());
    members.reserve(value.members.size());
    for (auto& [name, member] : value.members) members.emplace_back(std::move(name), std::move(member));
    return add(std::move(object));
  }

  bool end_array() override {
    Json array = std::move(open_.back().items);
    open_.pop_back();
    return add(std::move(array));
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while …"
    std::string_view what = error.what();
    if (const size_t bracket = what.find("] "); bracket != what.npos) what.remove_prefix(bracket + 2);
    if (const size_t colon = what.find(": "); what.starts_with("parse error at") && colon != what.npos) {
      what.remove_prefix(colon + 2);
    }
    refuse(static_cast<int64_t>(position), printable(what));
  }

 private:
  int64_t byte() const { return seen_ - text_.data(); }

  [[noreturn]] void refuse(int64_t at, const std::string& why) const {
    bad_input(std::string(where_), fmt::format("not valid JSON at byte {}: {}", at, why));
  }

  bool open(bool is_object) {
    if (static_cast<int64_t>(open_.size()) >= limits_.depth) {
      refuse(byte(), fmt::format("nested deeper than {} levels", limits_.depth));
    }
    open_.emplace_back().is_object = is_object;
    return true;
  }

  template <typename T>
  bool add(T&& value) {
    if (++n_values_ > limits_.n_values) refuse(byte(), fmt::format("more than {} values", limits_.n_values));
    if (open_.empty()) {
      root_ = Json(std::forward<T>(value));
    } else if (open_.back().is_object) {
      open_.back().members.back().second = Json(std::forward<T>(value));
    } else {
      open_.back().items.emplace_back(std::forward<T>(value));
    }
    return true;
  }

  // Sorting rather than hashing, because keys chosen to collide would make a hash table quadratic.
  void refuse_duplicates(const OpenValue& value) const {
    const auto& members = value.members;
    std::vector<uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int sign = members[a].first.compare(members[b].first);
      return sign != 0 ? sign < 0 : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i) {
      const std::string& name = members[order[i]].first;
      if (members[order[i - 1]].first == name) {
        refuse(value.key_ends[order[i]], fmt::format("duplicate key \"{}\"", printable(name)));
      }
    }
  }

  std::string_view text_;
  std::string_view where_;
  const JsonLimits& limits_;
  const char* seen_;
  int64_t n_values_ = 0;
  std::vector<OpenValue> open_;
  Json root_;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.size_bytes) {
    bad_input(std::string(where),
              fmt::format("JSON of {} bytes is longer than the limit of {} bytes", text.size(), limits.size_bytes));
  }
  // nlohmann takes a NUL for the end of the text and would ignore what follows.
  if (const size_t nul = text.find('\0'); nul != text.npos) {
    bad_input(std::string(where), fmt::format("not valid JSON at byte {}: NUL character", nul));
  }
  return Builder(text, where, limits).parse();
}

Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse_json(read_file(path, limits.size_bytes), path.string(), limits);
}

void write_json(const std::filesystem::path& path, const Json& value) {
  std::string text;
  try {
    text = value.dump(2);
  } catch (const Json::exception& error) {
    failed(path.string(), fmt::format("cannot be written as JSON: {}", printable(error.what())));
  }
  write_file(path, text + "\n");
}

}  // namespace fettle
