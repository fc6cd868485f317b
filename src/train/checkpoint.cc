#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "format/safetensors.h"

namespace fettle {
namespace {

constexpr const char* kCheckpointFolder = "checkpoint";
constexpr const char* kStateFile = "state.json";
constexpr const char* kTensorsFile = "tensors.safetensors";
constexpr int64_t kFormat = 1;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

Json records_to_json(const TrainResult& result) {
  Json records = Json::array();
  for (const EpochRecord& r : result.epochs) {
    records.push_back({{"epoch", r.epoch}, {"loss", r.loss}, {"accuracy", r.accuracy}, {"seconds", r.seconds}});
  }
  return records;
}

Json curve_to_json(const TrainResult& result) {
  Json curve = Json::array();
  for (const CurvePoint& p : result.curve) {
    curve.push_back({{"step", p.step}, {"loss", p.loss}, {"accuracy", p.accuracy}});
  }
  return curve;
}

Json divergence_to_json(const DivergenceState& d) {
  return {{"steps", d.steps}, {"mean", d.mean}, {"start", d.start}, {"best", d.best}, {"steps_above", d.steps_above}};
}

DivergenceState divergence_from_json(const Json& state, const std::string& where) {
  const auto found = state.find("divergence");
  if (found == state.end() || !found->is_object()) bad_input(where, "'divergence' is not an object");
  const Json& json = *found;
  return {.steps = json_int(json, "steps", 0, kMax, where),
          .mean = json_number(json, "mean", where),
          .start = json_number(json, "start", where),
          .best = json_number(json, "best", where),
          .steps_above = json_int(json, "steps_above", 0, kMax, where)};
}

Json state_to_json(const TrainState& s) {
  return {{"step", s.step},
          {"epoch", s.epoch},
          {"next_batch", s.next_batch},
          {"loss_sum", s.loss_sum},
          {"loss_steps", s.loss_steps},
          {"hits", s.hits},
          {"trials", s.trials},
          {"curve_loss", s.curve_loss},
          {"curve_steps", s.curve_steps},
          {"curve_hits", s.curve_hits},
          {"curve_trials", s.curve_trials},
          {"best_accuracy", s.best_accuracy},
          {"epochs_without_gain", s.epochs_without_gain},
          {"divergence", divergence_to_json(s.divergence)},
          {"finished", s.finished},
          {"stopped_early", s.result.stopped_early},
          {"samples", s.result.samples},
          {"tokens", s.result.tokens},
          {"seconds", s.result.seconds},
          {"changes", s.result.changes},
          {"epochs", records_to_json(s.result)},
          {"curve", curve_to_json(s.result)}};
}

const Json& array_at(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) bad_input(where, std::string("'") + key + "' is not a list");
  return *found;
}

TrainState state_from_json(const Json& json, const std::string& where) {
  TrainState s;
  s.step = json_int(json, "step", 0, kMax, where);
  s.epoch = json_int(json, "epoch", 0, kMax, where);
  s.next_batch = json_int(json, "next_batch", 0, kMax, where);
  s.loss_sum = json_number(json, "loss_sum", where);
  s.loss_steps = json_int(json, "loss_steps", 0, kMax, where);
  s.hits = json_number(json, "hits", where);
  s.trials = json_number(json, "trials", where);
  s.curve_loss = json_number(json, "curve_loss", where);
  s.curve_steps = json_int(json, "curve_steps", 0, kMax, where);
  s.curve_hits = json_number(json, "curve_hits", where);
  s.curve_trials = json_number(json, "curve_trials", where);
  s.best_accuracy = json_number(json, "best_accuracy", where);
  s.epochs_without_gain = json_int(json, "epochs_without_gain", 0, kMax, where);
  s.divergence = divergence_from_json(json, where);
  s.finished = json_bool_or(json, "finished", false, where);
  s.result.stopped_early = json_bool_or(json, "stopped_early", false, where);
  s.result.samples = json_int(json, "samples", 0, kMax, where);
  s.result.tokens = json_int(json, "tokens", 0, kMax, where);
  s.result.seconds = json_number(json, "seconds", where);
  s.result.changes = array_at(json, "changes", where);
  for (const Json& r : array_at(json, "epochs", where)) {
    s.result.epochs.push_back({json_number(r, "epoch", where), json_number(r, "loss", where),
                               json_number(r, "accuracy", where), json_number(r, "seconds", where)});
  }
  for (const Json& p : array_at(json, "curve", where)) {
    s.result.curve.push_back(
        {json_int(p, "step", 0, kMax, where), json_number(p, "loss", where), json_number(p, "accuracy", where)});
  }
  return s;
}

// Returns the values that differ though they may: {"option", "before", "after"}.
Json check_key(const Json& stored, const CheckpointKey& key, const std::string& where) {
  Json changes = Json::array();
  for (const auto& [name, value] : key.values.items()) {
    const auto found = stored.find(name);
    if (found != stored.end() && *found == value) continue;
    if (found != stored.end() && std::ranges::find(key.may_differ, name) != key.may_differ.end()) {
      changes.push_back({{"option", name}, {"before", *found}, {"after", value}});
      continue;
    }
    const std::string before = found == stored.end() ? "absent" : found->dump();
    bad_input(where, "the checkpoint was made with another " + name + ": " + before + " then, " + value.dump() + " now",
              "resume with the same options, data and starting model, or begin anew without resuming");
  }
  return changes;
}

void restore(Tensor& target, const SafetensorsFile& file, const std::string& name) {
  const Tensor& stored = file.tensor(name);
  if (stored.dtype() != DType::kF32 || stored.shape() != target.shape()) {
    bad_input(file.path(), "tensor '" + name + "' has another type or shape than the model's parameter");
  }
  std::memcpy(target.raw_mutable(), stored.raw(), static_cast<size_t>(stored.size_bytes()));
}

}  // namespace

void write_checkpoint(const std::filesystem::path& folder, const CheckpointKey& key, const TrainState& state,
                      const std::vector<ParameterSlot>& slots, const std::vector<Tensor>& best, const HookState& hook) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) io_error(folder.string(), "cannot make the checkpoint folder: " + error.message());
  AtomicFolder target(folder / kCheckpointFolder, /*replace=*/true);
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < slots.size(); ++i) {
    tensors.push_back({"weight/" + slots[i].name, slots[i].weight});
    tensors.push_back({"m/" + slots[i].name, slots[i].m});
    tensors.push_back({"v/" + slots[i].name, slots[i].v});
    if (slots[i].average.defined()) tensors.push_back({"average/" + slots[i].name, slots[i].average});
    if (!best.empty()) tensors.push_back({"best/" + slots[i].name, best[i]});
  }
  for (const auto& [name, value] : hook) tensors.push_back({"hook/" + name, value});
  write_safetensors(target.path() / kTensorsFile, tensors);
  write_json(target.path() / kStateFile, {{"format", kFormat}, {"key", key.values}, {"state", state_to_json(state)}});
  target.commit();
}

std::optional<TrainState> read_checkpoint(const std::filesystem::path& folder, const CheckpointKey& key,
                                          std::vector<ParameterSlot>& slots, std::vector<Tensor>& best,
                                          const HookState& hook) {
  const std::filesystem::path source = folder / kCheckpointFolder;
  std::error_code error;
  if (!std::filesystem::exists(source / kStateFile, error)) return std::nullopt;
  const std::string where = (source / kStateFile).string();
  const Json json = read_json(source / kStateFile);
  if (!json.is_object()) bad_input(where, "is not an object");
  json_int(json, "format", kFormat, kFormat, where);
  const auto stored_key = json.find("key");
  const auto stored_state = json.find("state");
  if (stored_key == json.end() || !stored_key->is_object() || stored_state == json.end() ||
      !stored_state->is_object()) {
    bad_input(where, "is not a checkpoint of fettle");
  }
  const Json changes = check_key(*stored_key, key, where);
  const SafetensorsFile file = SafetensorsFile::open(source / kTensorsFile);
  best.clear();
  for (ParameterSlot& slot : slots) {
    restore(slot.weight, file, "weight/" + slot.name);
    restore(slot.m, file, "m/" + slot.name);
    restore(slot.v, file, "v/" + slot.name);
    if (slot.average.defined()) restore(slot.average, file, "average/" + slot.name);
    if (!file.contains("best/" + slot.name)) continue;
    best.emplace_back(DType::kF32, slot.weight.shape());
    restore(best.back(), file, "best/" + slot.name);
  }
  if (!best.empty() && best.size() != slots.size()) bad_input(file.path(), "some of the best weights are missing");
  for (auto [name, value] : hook) restore(value, file, "hook/" + name);
  TrainState state = state_from_json(*stored_state, where);
  for (Json change : changes) {
    change["step"] = state.step;
    state.result.changes.push_back(std::move(change));
  }
  return state;
}

}  // namespace fettle
