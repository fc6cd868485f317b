#include "base/error.h"
#include "model/model.h"

namespace fettle {

void ParameterStore::set(std::string name, EncodedTensor value) {
  const auto found = values_.find(name);
  if (found != values_.end()) {
    found->second = std::move(value);
    return;
  }
  order_.push_back(name);
  values_.emplace(std::move(name), std::move(value));
}

bool ParameterStore::has(std::string_view name) const {
  return values_.find(name) != values_.end();
}

const EncodedTensor& ParameterStore::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) bad_input(std::string(name), "the model has no parameter of that name");
  return found->second;
}

EncodedTensor& ParameterStore::get_mutable(std::string_view name) {
  return const_cast<EncodedTensor&>(get(name));
}

void ParameterStore::erase(std::string_view name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return;
  values_.erase(found);
  std::erase(order_, name);
}

int64_t ParameterStore::parameter_count() const {
  int64_t n = 0;
  for (const auto& [name, value] : values_) n += element_count(value.shape);
  return n;
}

int64_t ParameterStore::size_bytes() const {
  int64_t n = 0;
  for (const auto& [name, value] : values_) n += value.size_bytes();
  return n;
}

}  // namespace fettle
