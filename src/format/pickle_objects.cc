// The few names that tensors need, and what becomes of calls to them. Nothing is looked up anywhere else.
#include <algorithm>
#include <array>
#include <optional>

#include "base/checked.h"
#include "base/error.h"
#include "format/pickle.h"
#include "format/refuse.h"
#include "format/safetensors_header.h"

namespace fettle {
namespace {

enum class GlobalKind : uint8_t {
  kOrderedDict,
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildParameter,
  kRebuildParameterWithState,
  kStorageType,
};

struct GlobalRow {
  std::string_view module, name;
  GlobalKind kind;
  DType dtype = DType::kF32;  // kStorageType only
};

constexpr std::array<GlobalRow, 15> kGlobals = {{
    {"collections", "OrderedDict", GlobalKind::kOrderedDict},
    {"torch._utils", "_rebuild_tensor", GlobalKind::kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", GlobalKind::kRebuildTensorV2},
    {"torch._utils", "_rebuild_parameter", GlobalKind::kRebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", GlobalKind::kRebuildParameterWithState},
    {"torch", "DoubleStorage", GlobalKind::kStorageType, DType::kF64},
    {"torch", "FloatStorage", GlobalKind::kStorageType, DType::kF32},
    {"torch", "HalfStorage", GlobalKind::kStorageType, DType::kF16},
    {"torch", "BFloat16Storage", GlobalKind::kStorageType, DType::kBF16},
    {"torch", "LongStorage", GlobalKind::kStorageType, DType::kI64},
    {"torch", "IntStorage", GlobalKind::kStorageType, DType::kI32},
    {"torch", "ShortStorage", GlobalKind::kStorageType, DType::kI16},
    {"torch", "CharStorage", GlobalKind::kStorageType, DType::kI8},
    {"torch", "ByteStorage", GlobalKind::kStorageType, DType::kU8},
    {"torch", "BoolStorage", GlobalKind::kStorageType, DType::kBool},
}};

const GlobalRow& global_row(const PickleValue& value) {
  return kGlobals[static_cast<size_t>(value.payload)];
}

}  // namespace

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  const auto found = std::find_if(kGlobals.begin(), kGlobals.end(),
                                  [&](const GlobalRow& row) { return row.module == module && row.name == name; });
  if (found == kGlobals.end()) {
    bad_input(where_,
              "refers to " + quote_name(std::string(module) + "." + std::string(name)) +
                  "; only tensors are read, nothing is executed",
              "save the tensors alone, with model.state_dict()");
  }
  push({PickleKind::kGlobal, 0, found - kGlobals.begin()});
}

int64_t PickleMachine::integer(const PickleValue& value, const char* what) const {
  if (value.kind != PickleKind::kInteger || value.payload < 0)
    refuse(std::string(what) + " is not a non-negative integer");
  return value.payload;
}

Shape PickleMachine::dimensions(const PickleValue& value, const char* what) const {
  if (value.kind != PickleKind::kTuple && value.kind != PickleKind::kList)
    refuse(std::string(what) + " is not a tuple");
  const std::span<const PickleValue> numbers = items(value);
  if (numbers.size() > kMaxRank) refuse("tensor of more than " + std::to_string(kMaxRank) + " dimensions");
  Shape shape;
  for (const PickleValue& number : numbers) {
    shape.push_back(integer(number, what));
    if (shape.back() > kMaxDimension) refuse(std::string(what) + " is too large");
  }
  return shape;
}

// ('storage', type, key, location, number of elements[, view: None or (key, first element, number of elements)])
void PickleMachine::push_persistent() {
  const PickleValue id = pop();
  if (id.kind != PickleKind::kTuple || id.length < 5 || id.length > 6)
    refuse("a persistent id that is not a storage's");
  const std::span<const PickleValue> fields = items(id);
  if (fields[0].kind != PickleKind::kText || text(fields[0]) != "storage")
    refuse("a persistent id that is not a storage's");
  if (fields[1].kind != PickleKind::kGlobal || global_row(fields[1]).kind != GlobalKind::kStorageType)
    refuse("a storage of unknown type");
  if (fields[2].kind != PickleKind::kText || fields[2].length > kMaxTensorNameBytes) refuse("a storage without a key");
  const PickleStorage whole = whole_storage(fields);
  const auto [known, is_new] = storage_of_key_.emplace(whole.key, storages_.size());
  if (is_new) add_storage(whole);
  const PickleStorage& first = storages_[known->second];
  if (first.dtype != whole.dtype || first.n_elements != whole.n_elements) {
    refuse("storage " + quote_name(whole.key) + " is described in two ways");
  }
  size_t place = known->second;
  if (fields.size() == 6 && fields[5].kind != PickleKind::kNone) place = add_storage(storage_view(whole, fields[5]));
  push({PickleKind::kStorage, 0, static_cast<int64_t>(place)});
}

PickleStorage PickleMachine::whole_storage(std::span<const PickleValue> fields) const {
  if (fields[1].kind != PickleKind::kGlobal || global_row(fields[1]).kind != GlobalKind::kStorageType) {
    refuse("a storage of unknown type");
  }
  if (fields[2].kind != PickleKind::kText || fields[2].length > kMaxTensorNameBytes) refuse("a storage without a key");
  const int64_t n_elements = integer(fields[4], "size of a storage");
  return {text(fields[2]), global_row(fields[1]).dtype, n_elements, 0, n_elements};
}

PickleStorage PickleMachine::storage_view(PickleStorage storage, const PickleValue& description) const {
  if (description.kind != PickleKind::kTuple || description.length != 3) refuse("a malformed view of a storage");
  const std::span<const PickleValue> view = items(description);
  storage.view_begin = integer(view[1], "start of a view");
  storage.view_elements = integer(view[2], "size of a view");
  if (storage.view_begin > storage.n_elements || storage.view_elements > storage.n_elements - storage.view_begin) {
    refuse("a view that reaches out of its storage");
  }
  return storage;
}

size_t PickleMachine::add_storage(const PickleStorage& storage) {
  if (storages_.size() >= kMaxTensorsPerFile) refuse("too many storages");
  storages_.push_back(storage);
  return storages_.size() - 1;
}

void PickleMachine::reduce() {
  const PickleValue arguments = pop(), callee = pop();
  if (callee.kind != PickleKind::kGlobal || arguments.kind != PickleKind::kTuple)
    refuse("a call that tensors do not need");
  constexpr size_t kMaxArguments = 8;
  if (arguments.length > kMaxArguments) refuse("a call with too many arguments");
  const std::span<const PickleValue> list = items(arguments);
  switch (global_row(callee).kind) {
    case GlobalKind::kOrderedDict:
      return push(make_ordered_dict(list));
    case GlobalKind::kRebuildTensor:
      return push(rebuild_tensor(list, 4));
    case GlobalKind::kRebuildTensorV2:
      return push(rebuild_tensor(list, 6));
    case GlobalKind::kRebuildParameter:
      return push(rebuild_parameter(list, 3));
    case GlobalKind::kRebuildParameterWithState:
      return push(rebuild_parameter(list, 4));
    case GlobalKind::kStorageType:
      refuse("a storage made out of nothing");
  }
}

// (storage, offset, sizes, strides[, requires_grad, hooks[, metadata]])
PickleValue PickleMachine::rebuild_tensor(std::span<const PickleValue> arguments, size_t min_arguments) {
  if (arguments.size() < min_arguments || arguments.size() > min_arguments + 1 ||
      arguments[0].kind != PickleKind::kStorage) {
    refuse("a tensor with malformed arguments");
  }
  if (tensors_.size() >= kMaxTensorsPerFile) refuse("too many tensors");
  PickleTensor tensor{static_cast<size_t>(arguments[0].payload), integer(arguments[1], "offset of a tensor"),
                      dimensions(arguments[2], "size of a tensor"), dimensions(arguments[3], "stride of a tensor")};
  if (tensor.shape.size() != tensor.strides.size()) refuse("a tensor with more sizes than strides, or fewer");
  tensors_.push_back(std::move(tensor));
  return {PickleKind::kTensor, 0, static_cast<int64_t>(tensors_.size() - 1)};
}

// (tensor, requires_grad, hooks[, state])
PickleValue PickleMachine::rebuild_parameter(std::span<const PickleValue> arguments, size_t n_arguments) {
  if (arguments.size() != n_arguments || arguments[0].kind != PickleKind::kTensor)
    refuse("a parameter with malformed arguments");
  return arguments[0];
}

// () or, from Python 2, ([[key, value], …])
PickleValue PickleMachine::make_ordered_dict(std::span<const PickleValue> arguments) {
  const size_t first = stack_.size();
  if (arguments.size() > 1 || (arguments.size() == 1 && arguments[0].kind != PickleKind::kList))
    refuse("a malformed dictionary");
  if (arguments.size() == 1) {
    for (const PickleValue& pair : items(arguments[0])) {
      const bool is_pair = pair.kind == PickleKind::kList || pair.kind == PickleKind::kTuple;
      if (!is_pair || items(pair).size() != 2) refuse("a malformed dictionary");
      for (const PickleValue& member : items(pair)) push(member);
    }
  }
  make_container(PickleKind::kDict, first);
  return pop();
}

// Attributes (a state dict's `_metadata`) are passed over.
void PickleMachine::build() {
  pop();
  if (stack_.empty()) refuse("takes from an empty stack");
  const PickleKind kind = stack_.back().kind;
  if (kind != PickleKind::kDict && kind != PickleKind::kTensor)
    refuse("attributes for what is neither a dictionary nor a tensor");
}

}  // namespace fettle
