// The phrases of the demonstration's grammar.
#pragma once

#include <span>
#include <string_view>

namespace fettle {

// Patterns: "(a|b|)" picks one of its alternatives, "{slot}" a filler of that slot.
struct DemoIntent {
  std::string_view name;
  std::span<const std::string_view> phrases;   // used in every split
  std::span<const std::string_view> held_out;  // never in training
};

struct DemoSlot {
  std::string_view name;
  std::span<const std::string_view> fillers;
  size_t n_training;  // only the first so many are used in training
};

// Queries that belong to no intent.
const DemoIntent& demo_out_of_scope();
std::span<const DemoSlot> demo_slots();
// What people put before and after what they want; many are empty. A query that begins with a verb of the list is a
// request and may take the second kind, "can you … for me".
std::span<const std::string_view> demo_openings(bool request);
std::span<const std::string_view> demo_endings(bool request);
std::span<const std::string_view> demo_request_verbs();

}  // namespace fettle
