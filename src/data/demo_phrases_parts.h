// The two halves of the demonstration's intents, and what they are made of.
#pragma once

#include "data/demo_phrases.h"

namespace fettle {

std::span<const DemoIntent> demo_intents_home();     // clocks, music, lights, weather
std::span<const DemoIntent> demo_intents_errands();  // meals, money, travel, language

}  // namespace fettle
