// Fusions and kernels in words.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "evaluate/columns.h"
#include "evaluate/profile_report.h"
#include "graph/passes.h"

namespace fettle {
namespace {

constexpr size_t kIndent = 13;  // of names behind "used" and "refused"

struct Description {
  std::string_view pass;
  std::string_view text;
};
constexpr Description kDescriptions[] = {
    {"remove_dropout", "dropout is for training only and goes"},
    {"fuse_linear_activation",
     "a matrix product and the activation behind it: the values are activated before they are stored"},
    {"fuse_embeddings", "embedding look-ups, their sum and its norm: one pass over each row"},
    {"fuse_add_layer_norm", "the residual sum is taken while the layer norm reads its input"},
    {"fuse_qkv", "queries, keys and values: one product with packed weights, from which attention reads in place"},
    {"read_first_tokens_early",
     "the head reads one token of each sequence: the last layer computes no other, but for keys and values"},
};

std::string_view description_of(std::string_view pass) {
  const auto* found = std::ranges::find(kDescriptions, pass, &Description::pass);
  return found == std::end(kDescriptions) ? "" : found->text;
}

// Names that differ only in the number of their layer.
struct Names {
  std::string before;
  std::string after;
  std::vector<int64_t> numbers;  // empty for a name without one
};

Names split(const std::string& name) {
  for (size_t begin = 0; begin < name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    int64_t number = 0;
    const auto parsed = std::from_chars(name.data() + begin, name.data() + end, number);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + end) {
      return {name.substr(0, begin), name.substr(end), {number}};
    }
    begin = end + 1;
  }
  return {name, "", {}};
}

// "0–11", "0, 2–4"
std::string ranges(std::vector<int64_t> numbers) {
  std::ranges::sort(numbers);
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] <= numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[i]);
    if (last > i) text += "–" + std::to_string(numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string joined(const std::vector<std::string>& names) {
  std::vector<Names> groups;
  for (const std::string& name : names) {
    Names parts = split(name);
    const auto same = std::ranges::find_if(groups, [&](const Names& group) {
      return group.before == parts.before && group.after == parts.after && !group.numbers.empty() &&
             !parts.numbers.empty();
    });
    if (same == groups.end()) {
      groups.push_back(std::move(parts));
    } else {
      same->numbers.push_back(parts.numbers[0]);
    }
  }
  std::string text;
  for (const Names& group : groups) {
    text += (text.empty() ? "" : ", ") + group.before + ranges(group.numbers) + group.after;
  }
  return text;
}

// Places with the same verdict.
struct Verdict {
  bool used;
  std::string reason;
  std::vector<std::string> nodes;
};

std::vector<Verdict> verdicts_on(const std::vector<FusionReport>& reports, std::string_view pass) {
  std::vector<Verdict> verdicts;
  for (const FusionReport& report : reports) {
    if (report.fusion != pass) continue;
    auto same = std::ranges::find_if(verdicts, [&](const Verdict& verdict) {
      return verdict.used == report.used && verdict.reason == report.reason;
    });
    if (same == verdicts.end()) same = verdicts.insert(verdicts.end(), {report.used, report.reason, {}});
    same->nodes.push_back(report.node);
  }
  return verdicts;
}

std::string explain_fusions(const PathProfile& path, int columns) {
  if (!path.fast_path) return "Fusions: none is tried on the slow path, which runs the graph op by op.\n";
  std::string text =
      wrap("Fusions (used where the pattern was fused; refused where it was found and left as it was):", columns, 0);
  for (const Pass& pass : inference_passes()) {
    if (description_of(pass.name).empty()) continue;
    const std::vector<Verdict> verdicts = verdicts_on(path.fusions, pass.name);
    if (verdicts.empty() && pass.name == "remove_dropout") continue;
    text += "\n  " + wrap(fmt::format("{}: {}", pass.name, description_of(pass.name)), columns - 2, 4);
    if (verdicts.empty()) text += "    not found  the model has no such place\n";
    for (const Verdict& verdict : verdicts) {
      std::string line = joined(verdict.nodes);
      if (!verdict.reason.empty())
        line = verdict.used ? line + " (" + verdict.reason + ")" : verdict.reason + ": " + line;
      text += fmt::format("    {:<9}", verdict.used ? "used" : "refused") +
              wrap(line, columns - static_cast<int>(kIndent), kIndent);
    }
  }
  return text;
}

// Nodes that run the same kernel for the same reason.
struct KernelUse {
  KernelReport report;
  std::vector<std::string> nodes;
};

std::string explain_kernels(const PathProfile& path, int columns) {
  std::vector<KernelUse> uses;
  for (const KernelReport& report : path.kernels) {
    auto same = std::ranges::find_if(uses, [&](const KernelUse& use) {
      return use.report.op == report.op && use.report.kernel == report.kernel && use.report.reason == report.reason &&
             use.report.besides == report.besides;
    });
    if (same == uses.end()) same = uses.insert(uses.end(), {report, {}});
    same->nodes.push_back(report.node.empty() ? report.op : report.node);
  }
  std::string text = "Kernels (encoding and instruction set of each op, and why not a faster one):\n";
  for (const KernelUse& use : uses) {
    const std::string what =
        fmt::format("{} {}: {} node{}{}{}", use.report.op, use.report.kernel, use.nodes.size(),
                    use.nodes.size() == 1 ? "" : "s", use.report.reason.empty() ? "" : "; ", use.report.reason);
    text += "\n  " + wrap(what, columns - 2, 4);
    if (!use.report.besides.empty()) text += "    " + wrap(use.report.besides, columns - 4, 4);
    text += "    " + wrap(joined(use.nodes), columns - 4, 4);
  }
  return text;
}

}  // namespace

std::string explain(const PathProfile& path, int columns) {
  return explain_fusions(path, columns) + "\n" + explain_kernels(path, columns);
}

Json fusions_json(const PathProfile& path) {
  Json list = Json::array();
  for (const FusionReport& report : path.fusions) {
    list.push_back(
        {{"fusion", report.fusion}, {"node", report.node}, {"used", report.used}, {"reason", report.reason}});
  }
  return list;
}

Json kernels_json(const PathProfile& path) {
  Json list = Json::array();
  for (const KernelReport& report : path.kernels) {
    list.push_back({{"op", report.op},
                    {"node", report.node},
                    {"kernel", report.kernel},
                    {"reason", report.reason},
                    {"besides", report.besides}});
  }
  return list;
}

}  // namespace fettle
