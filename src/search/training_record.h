// What training reported, as JSON beside a model that a search keeps.
#pragma once

#include "base/json.h"
#include "train/trainer.h"

namespace fettle {

Json record_to_json(const TrainResult& result);
// kBadInput naming `where` when it is something else.
TrainResult record_from_json(const Json& json, const std::string& where);

}  // namespace fettle
