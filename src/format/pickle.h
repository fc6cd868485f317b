// A machine for the part of Python's pickle language in which PyTorch saves tensors; it executes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInteger,
  kBigInteger,  // longer than 8 bytes; only its bytes are kept
  kFloat,       // the value is not kept
  kText,
  kBytes,
  kTuple,
  kList,
  kDict,
  kGlobal,
  kStorage,
  kTensor,
};

// Small and flat: what it refers to lies in the machine's tables, so nothing here is ever destroyed or compared
// recursively.
struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  uint32_t length = 0;  // bytes of a text, items of a tuple
  int64_t payload = 0;  // the integer, or a place in the pickle or a table
};

// A persistent id: where numbers lie. `key` names the storage in the file.
struct PickleStorage {
  std::string_view key;
  DType dtype = DType::kF32;
  int64_t n_elements = 0;
  // The part that tensors see (all of it but for very old files).
  int64_t view_begin = 0;
  int64_t view_elements = 0;
};

struct PickleTensor {
  size_t storage = 0;  // in PickleMachine::storages()
  int64_t offset = 0;  // elements from the start of the storage's view
  Shape shape;
  Shape strides;  // in elements
};

// Reads pickles one after another from bytes that must outlive it. Every stack and table has a limit. An operation or a
// name that tensors do not need is kBadInput saying which.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  // One pickle, up to its STOP. Values of earlier pickles stay valid.
  PickleValue run();
  // Bytes consumed so far.
  size_t position() const { return at_; }

  std::string_view text(const PickleValue& value) const;  // of kText, kBytes and kBigInteger
  // Of a tuple or list; of a dict, keys and values by turns.
  std::span<const PickleValue> items(const PickleValue& value) const;
  const PickleStorage& storage(size_t i) const { return storages_[i]; }
  const std::vector<PickleStorage>& storages() const { return storages_; }
  const PickleTensor& tensor(const PickleValue& value) const { return tensors_[static_cast<size_t>(value.payload)]; }

 private:
  [[noreturn]] void refuse(const std::string& detail) const;

  size_t take_size(size_t n_bytes);
  std::string_view take(size_t n_bytes);
  std::string_view take_line();
  void take_text(PickleKind kind, size_t length_bytes);
  void take_long(size_t length_bytes);

  bool run_scalar(uint8_t op);
  bool run_container(uint8_t op);
  bool run_stack(uint8_t op);
  bool run_object(uint8_t op);

  void push(const PickleValue& value);
  PickleValue pop();
  size_t pop_mark();
  PickleValue& top_container(PickleKind kind);
  void append_from(size_t first, PickleKind kind);
  void make_tuple(size_t first);
  void make_container(PickleKind kind, size_t first);
  void remember(size_t place);
  void recall(size_t place);

  void push_global(std::string_view module, std::string_view name);
  void push_persistent();
  PickleStorage whole_storage(std::span<const PickleValue> fields) const;
  PickleStorage storage_view(PickleStorage storage, const PickleValue& description) const;
  size_t add_storage(const PickleStorage& storage);
  void reduce();
  void build();
  PickleValue rebuild_tensor(std::span<const PickleValue> arguments, size_t min_arguments);
  PickleValue rebuild_parameter(std::span<const PickleValue> arguments, size_t n_arguments);
  PickleValue make_ordered_dict(std::span<const PickleValue> arguments);
  int64_t integer(const PickleValue& value, const char* what) const;
  Shape dimensions(const PickleValue& value, const char* what) const;

  std::span<const std::byte> bytes_;
  std::string where_;
  size_t at_ = 0;
  size_t n_operations_ = 0;
  size_t n_items_ = 0;  // in tuples, lists and dicts together
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;
  std::vector<PickleValue> memo_;
  std::vector<PickleValue> tuple_items_;
  std::vector<std::vector<PickleValue>> containers_;
  std::vector<PickleStorage> storages_;
  std::unordered_map<std::string_view, size_t> storage_of_key_;
  std::vector<PickleTensor> tensors_;
};

}  // namespace fettle
