#include "format/tensor_store.h"

#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/file.h"
#include "format/hf_folder.h"
#include "format/pytorch_bin.h"
#include "format/refuse.h"
#include "format/safetensors.h"

namespace fettle {
namespace fs = std::filesystem;
namespace {

using WeightFile = std::variant<SafetensorsFile, PytorchFile>;

// A safetensors file has eight bytes of length, then '{'; PyTorch's layouts begin with a zip member or a pickle.
bool looks_like_safetensors(std::span<const std::byte> bytes) {
  constexpr size_t kBraceAt = 8;
  return bytes.size() > kBraceAt && bytes[kBraceAt] == std::byte{'{'};
}

bool looks_like_pytorch(std::span<const std::byte> bytes) {
  constexpr std::byte kPickleProtocol{0x80};
  const bool zip = bytes.size() >= 2 && bytes[0] == std::byte{'P'} && bytes[1] == std::byte{'K'};
  return zip || (!bytes.empty() && bytes[0] == kPickleProtocol && !looks_like_safetensors(bytes));
}

WeightFile open_weight_file(const fs::path& path, WeightsLayout layout) {
  if (layout == WeightsLayout::kPytorch) return PytorchFile::open(path);
  return SafetensorsFile::open(path);
}

}  // namespace

struct TensorStore::State {
  std::string where;
  std::vector<fs::path> paths;
  std::vector<WeightFile> files;
  std::vector<std::string> names;
  std::unordered_map<std::string_view, size_t> file_of;  // keys view `names`
  std::map<std::string, std::string> metadata;

  void open_files(const std::vector<fs::path>& list, WeightsLayout layout) {
    paths = list;
    for (const fs::path& path : list) files.push_back(open_weight_file(path, layout));
    if (const auto* first = files.empty() ? nullptr : std::get_if<SafetensorsFile>(&files[0]))
      metadata = first->metadata();
  }

  void take_all_names() {
    names = std::visit([](const auto& file) { return file.names(); }, files.at(0));
    file_of.reserve(names.size());
    for (const std::string& name : names) file_of.emplace(name, 0);
  }

  void take_indexed_names(const WeightFiles& weights) {
    std::vector<std::unordered_set<std::string_view>> wanted(files.size());
    for (const auto& [name, file] : weights.weight_map) {
      const bool there = std::visit([&name = name](const auto& opened) { return opened.contains(name); }, files[file]);
      if (!there)
        bad_input(paths[file].string(), "has no tensor " + quote_name(name) + ", which the index places there");
      wanted[file].insert(name);
    }
    names.reserve(weights.weight_map.size());
    for (size_t file = 0; file < files.size(); ++file) {
      const std::vector<std::string>& in_file =
          std::visit([](const auto& opened) -> const std::vector<std::string>& { return opened.names(); }, files[file]);
      for (const std::string& name : in_file) {
        if (wanted[file].count(name) == 0) continue;
        names.push_back(name);
        file_of.emplace(names.back(), file);
      }
    }
  }
};

TensorStore TensorStore::open(const fs::path& path) {
  auto state = std::make_shared<State>();
  state->where = path.string();
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const std::optional<WeightFiles> weights = find_weights(path);
    if (!weights) {
      io_error(path.string(), "has no weights",
               "looked for model.safetensors and pytorch_model.bin, whole or with an index");
    }
    state->open_files(weights->files, weights->layout);
    if (weights->index) {
      state->take_indexed_names(*weights);
    } else {
      state->take_all_names();
    }
  } else {
    const bool pytorch = looks_like_pytorch(MappedFile::open(path)->bytes());
    state->open_files({path}, pytorch ? WeightsLayout::kPytorch : WeightsLayout::kSafetensors);
    state->take_all_names();
  }
  TensorStore store;
  store.state_ = std::move(state);
  return store;
}

const std::vector<std::string>& TensorStore::names() const {
  return state_->names;
}
const std::vector<fs::path>& TensorStore::files() const {
  return state_->paths;
}
const std::map<std::string, std::string>& TensorStore::metadata() const {
  return state_->metadata;
}

const Tensor* TensorStore::find(std::string_view name) const {
  const auto found = state_->file_of.find(name);
  if (found == state_->file_of.end()) return nullptr;
  return std::visit([&](const auto& file) { return &file.tensor(name); }, state_->files[found->second]);
}

const Tensor& TensorStore::get(std::string_view name) const {
  const Tensor* tensor = find(name);
  if (tensor == nullptr) {
    bad_input(state_->paths.size() == 1 ? state_->paths[0].string() : state_->where,
              "has no tensor " + quote_name(name));
  }
  return *tensor;
}

void TensorStore::drop_pages() const {
  for (const WeightFile& file : state_->files) {
    std::visit([](const auto& opened) { opened.drop_pages(); }, file);
  }
}

}  // namespace fettle
