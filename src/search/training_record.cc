#include "search/training_record.h"

#include <limits>

#include "base/error.h"

namespace fettle {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

const Json& list_at(const Json& json, const char* key, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) bad_input(where, std::string("'") + key + "' is no list");
  return *found;
}

}  // namespace

Json record_to_json(const TrainResult& result) {
  Json epochs = Json::array();
  for (const EpochRecord& e : result.epochs) {
    epochs.push_back({{"epoch", e.epoch}, {"loss", e.loss}, {"accuracy", e.accuracy}, {"seconds", e.seconds}});
  }
  Json curve = Json::array();
  for (const CurvePoint& p : result.curve) {
    curve.push_back({{"step", p.step}, {"loss", p.loss}, {"accuracy", p.accuracy}});
  }
  return {{"steps", result.steps},
          {"samples", result.samples},
          {"tokens", result.tokens},
          {"seconds", result.seconds},
          {"samples_per_s", result.samples_per_s},
          {"accuracy", result.accuracy},
          {"stopped_early", result.stopped_early},
          {"epochs", epochs},
          {"curve", curve}};
}

TrainResult record_from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) bad_input(where, "is not an object");
  TrainResult result;
  result.steps = json_int(json, "steps", 0, kMax, where);
  result.samples = json_int(json, "samples", 0, kMax, where);
  result.tokens = json_int(json, "tokens", 0, kMax, where);
  result.seconds = json_number(json, "seconds", where);
  result.samples_per_s = json_number(json, "samples_per_s", where);
  result.accuracy = json_number(json, "accuracy", where);
  result.stopped_early = json_bool_or(json, "stopped_early", false, where);
  for (const Json& e : list_at(json, "epochs", where)) {
    result.epochs.push_back({json_number(e, "epoch", where), json_number(e, "loss", where),
                             json_number(e, "accuracy", where), json_number(e, "seconds", where)});
  }
  for (const Json& p : list_at(json, "curve", where)) {
    result.curve.push_back(
        {json_int(p, "step", 0, kMax, where), json_number(p, "loss", where), json_number(p, "accuracy", where)});
  }
  return result;
}

}  // namespace fettle
