#include "kernels/dispatch.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/platform.h"
#include "kernels/reference/kernels.h"

namespace fettle {
namespace {

std::vector<const KernelTable*> find_supported() {
  static const KernelTable reference_table = reference::table();
  std::vector<const KernelTable*> tables = {&reference_table};
  for (const KernelTable& table : platform_tables()) tables.push_back(&table);
  return tables;
}

std::string supported_names() {
  std::string names;
  for (const KernelTable* table : supported_tables()) {
    if (!names.empty()) names += ", ";
    names += table->name;
  }
  return names;
}

}  // namespace

std::span<const KernelTable* const> supported_tables() {
  static const std::vector<const KernelTable*> tables = find_supported();
  return tables;
}

const KernelTable& best_table() {
  return *supported_tables().back();
}

const KernelTable& table_named(std::string_view name) {
  if (name.empty()) return best_table();
  for (const KernelTable* table : supported_tables()) {
    if (table->name == name) return *table;
  }
  usage_error("kernel table '" + std::string(name) + "'", "unknown, or not supported by this machine",
              "one of: " + supported_names());
}

}  // namespace fettle
