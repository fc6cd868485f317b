#include "format/pickle.h"

#include <algorithm>

#include "base/error.h"

namespace fettle {
namespace {

constexpr size_t kMaxOperations = size_t{1} << 26;
constexpr size_t kMaxStack = size_t{1} << 20;
constexpr size_t kMaxMemo = size_t{1} << 22;
constexpr size_t kMaxItems = size_t{1} << 23;
constexpr size_t kMaxContainers = size_t{1} << 20;
constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr size_t kMaxLineBytes = 256;
constexpr unsigned kHighestProtocol = 5;

// Operation codes by their names in CPython's pickletools.
enum Op : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersistentId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

}  // namespace

void PickleMachine::refuse(const std::string& detail) const {
  bad_input(where_, "pickle at byte " + std::to_string(at_) + ": " + detail);
}

PickleValue PickleMachine::run() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    if (++n_operations_ > kMaxOperations) refuse("too many operations");
    const auto op = static_cast<uint8_t>(take(1)[0]);
    if (op == kStop) break;
    if (run_scalar(op) || run_container(op) || run_stack(op) || run_object(op)) continue;
    refuse("operation " + std::to_string(op) + " is not needed for tensors and not known here");
  }
  if (stack_.size() != 1 || !marks_.empty()) refuse("ends with a stack that does not hold one value");
  return pop();
}

std::string_view PickleMachine::take(size_t n_bytes) {
  if (n_bytes > bytes_.size() - at_) refuse("is cut short");
  const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + at_, n_bytes);
  at_ += n_bytes;
  return taken;
}

size_t PickleMachine::take_size(size_t n_bytes) {
  uint64_t value = 0;
  const std::string_view text = take(n_bytes);
  for (size_t i = 0; i < n_bytes; ++i) value |= uint64_t{static_cast<uint8_t>(text[i])} << (8 * i);
  return value;
}

std::string_view PickleMachine::take_line() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                              std::min(bytes_.size() - at_, kMaxLineBytes));
  const size_t n = rest.find('\n');
  if (n == std::string_view::npos) refuse("a name without an end");
  at_ += n + 1;
  return rest.substr(0, n);
}

void PickleMachine::take_text(PickleKind kind, size_t length_bytes) {
  const size_t n = take_size(length_bytes);
  if (n > kMaxTextBytes) refuse("a text that is too long");
  const auto begin = static_cast<int64_t>(at_);
  take(n);
  push({kind, static_cast<uint32_t>(n), begin});
}

void PickleMachine::take_long(size_t length_bytes) {
  const size_t n = take_size(length_bytes);
  if (n > kMaxLineBytes) refuse("a number that is too long");
  const auto begin = static_cast<int64_t>(at_);
  const std::string_view digits = take(n);
  if (n > sizeof(int64_t)) return push({PickleKind::kBigInteger, static_cast<uint32_t>(n), begin});
  const bool negative = n > 0 && static_cast<uint8_t>(digits[n - 1]) >= 0x80;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = n; i-- > 0;) value = (value << 8) | static_cast<uint8_t>(digits[i]);
  push({PickleKind::kInteger, 0, static_cast<int64_t>(value)});
}

bool PickleMachine::run_scalar(uint8_t op) {
  switch (op) {
    case kNone:
      push({PickleKind::kNone, 0, 0});
      return true;
    case kNewTrue:
    case kNewFalse:
      push({PickleKind::kBool, 0, op == kNewTrue});
      return true;
    case kBinInt:
      push({PickleKind::kInteger, 0, static_cast<int32_t>(static_cast<uint32_t>(take_size(4)))});
      return true;
    case kBinInt1:
    case kBinInt2:
      push({PickleKind::kInteger, 0, static_cast<int64_t>(take_size(op == kBinInt1 ? 1 : 2))});
      return true;
    case kLong1:
    case kLong4:
      take_long(op == kLong1 ? 1 : 4);
      return true;
    case kBinFloat:
      take(sizeof(double));
      push({PickleKind::kFloat, 0, 0});
      return true;
    case kShortBinUnicode:
    case kShortBinString:
      take_text(PickleKind::kText, 1);
      return true;
    case kBinUnicode:
    case kBinString:
      take_text(PickleKind::kText, 4);
      return true;
    case kBinUnicode8:
      take_text(PickleKind::kText, 8);
      return true;
    case kShortBinBytes:
    case kBinBytes:
    case kBinBytes8:
      take_text(PickleKind::kBytes, op == kShortBinBytes ? 1 : op == kBinBytes ? 4 : 8);
      return true;
    default:
      return false;
  }
}

bool PickleMachine::run_container(uint8_t op) {
  switch (op) {
    case kEmptyTuple:
      make_tuple(stack_.size());
      return true;
    case kTuple1:
    case kTuple2:
    case kTuple3: {
      const size_t n = op - kTuple1 + 1u;
      if (stack_.size() < n) refuse("takes from an empty stack");
      make_tuple(stack_.size() - n);
      return true;
    }
    case kTuple:
      make_tuple(pop_mark());
      return true;
    case kEmptyList:
    case kEmptyDict:
      make_container(op == kEmptyList ? PickleKind::kList : PickleKind::kDict, stack_.size());
      return true;
    case kList:
    case kDict:
      make_container(op == kList ? PickleKind::kList : PickleKind::kDict, pop_mark());
      return true;
    case kAppend:
      append_from(stack_.empty() ? 0 : stack_.size() - 1, PickleKind::kList);
      return true;
    case kSetItem:
      append_from(stack_.size() < 2 ? 0 : stack_.size() - 2, PickleKind::kDict);
      return true;
    case kAppends:
    case kSetItems:
      append_from(pop_mark(), op == kAppends ? PickleKind::kList : PickleKind::kDict);
      return true;
    default:
      return false;
  }
}

bool PickleMachine::run_stack(uint8_t op) {
  switch (op) {
    case kProto:
      if (take_size(1) > kHighestProtocol) refuse("unknown protocol");
      return true;
    case kFrame:
      take(sizeof(uint64_t));
      return true;
    case kMark:
      if (marks_.size() >= kMaxStack) refuse("too many marks");
      marks_.push_back(stack_.size());
      return true;
    case kPop:
      pop();
      return true;
    case kPopMark:
      stack_.resize(pop_mark());
      return true;
    case kDup:
      if (stack_.empty()) refuse("takes from an empty stack");
      push(PickleValue(stack_.back()));
      return true;
    case kBinPut:
    case kLongBinPut:
      remember(take_size(op == kBinPut ? 1 : 4));
      return true;
    case kMemoize:
      remember(memo_.size());
      return true;
    case kBinGet:
    case kLongBinGet:
      recall(take_size(op == kBinGet ? 1 : 4));
      return true;
    default:
      return false;
  }
}

bool PickleMachine::run_object(uint8_t op) {
  switch (op) {
    case kGlobal: {
      const std::string_view module = take_line();
      push_global(module, take_line());
      return true;
    }
    case kStackGlobal: {
      const PickleValue name = pop(), module = pop();
      if (name.kind != PickleKind::kText || module.kind != PickleKind::kText) refuse("a name that is not a text");
      push_global(text(module), text(name));
      return true;
    }
    case kBinPersistentId:
      push_persistent();
      return true;
    case kReduce:
      reduce();
      return true;
    case kBuild:
      build();
      return true;
    default:
      return false;
  }
}

void PickleMachine::push(const PickleValue& value) {
  if (stack_.size() >= kMaxStack) refuse("stack is too deep");
  stack_.push_back(value);
}

// What lies below the innermost mark is out of reach, as in Python.
PickleValue PickleMachine::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("takes from an empty stack");
  const PickleValue value = stack_.back();
  stack_.pop_back();
  return value;
}

size_t PickleMachine::pop_mark() {
  if (marks_.empty()) refuse("no mark is set");
  const size_t mark = marks_.back();
  marks_.pop_back();
  return mark;
}

void PickleMachine::make_tuple(size_t first) {
  if (first < (marks_.empty() ? 0 : marks_.back())) refuse("takes from below a mark");
  const size_t n = stack_.size() - first;
  if ((n_items_ += n) > kMaxItems) refuse("too many items");
  const PickleValue tuple{PickleKind::kTuple, static_cast<uint32_t>(n), static_cast<int64_t>(tuple_items_.size())};
  tuple_items_.insert(tuple_items_.end(), stack_.begin() + static_cast<ptrdiff_t>(first), stack_.end());
  stack_.resize(first);
  push(tuple);
}

void PickleMachine::make_container(PickleKind kind, size_t first) {
  const size_t n = stack_.size() - first;
  if ((n_items_ += n) > kMaxItems || containers_.size() >= kMaxContainers) refuse("too many items");
  if (kind == PickleKind::kDict && n % 2 != 0) refuse("a key without a value");
  containers_.emplace_back(stack_.begin() + static_cast<ptrdiff_t>(first), stack_.end());
  stack_.resize(first);
  push({kind, 0, static_cast<int64_t>(containers_.size() - 1)});
}

// Moves the stack's values from `first` on into the container just below them.
void PickleMachine::append_from(size_t first, PickleKind kind) {
  if (first == 0 || first < (marks_.empty() ? 0 : marks_.back() + 1)) refuse("takes from an empty stack");
  const PickleValue target = stack_[first - 1];
  if (target.kind != kind) refuse("adds items to what cannot hold them");
  const size_t n = stack_.size() - first;
  if ((n_items_ += n) > kMaxItems) refuse("too many items");
  if (kind == PickleKind::kDict && n % 2 != 0) refuse("a key without a value");
  std::vector<PickleValue>& container = containers_[static_cast<size_t>(target.payload)];
  container.insert(container.end(), stack_.begin() + static_cast<ptrdiff_t>(first), stack_.end());
  stack_.resize(first);
}

// CPython numbers memo entries from 0 on, so an honest place never exceeds the bytes read so far.
void PickleMachine::remember(size_t place) {
  if (stack_.empty()) refuse("takes from an empty stack");
  if (place >= kMaxMemo || place > at_) refuse("a memo place out of range");
  if (place >= memo_.size()) memo_.resize(place + 1);
  memo_[place] = stack_.back();
}

void PickleMachine::recall(size_t place) {
  if (place >= memo_.size()) refuse("a memo place that was never filled");
  push(PickleValue(memo_[place]));
}

std::string_view PickleMachine::text(const PickleValue& value) const {
  return {reinterpret_cast<const char*>(bytes_.data()) + value.payload, value.length};
}

std::span<const PickleValue> PickleMachine::items(const PickleValue& value) const {
  if (value.kind == PickleKind::kTuple)
    return std::span(tuple_items_).subspan(static_cast<size_t>(value.payload), value.length);
  return containers_[static_cast<size_t>(value.payload)];
}

}  // namespace fettle
