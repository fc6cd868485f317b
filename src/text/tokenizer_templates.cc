// What is put around texts: the usual templates, and the post-processor of tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "text/tokenizer_reader.h"

namespace fettle {
namespace {

int32_t checked_id(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value >= kMaxVocabulary) {
    bad_input(where, "a token id of the post-processor is not an integer in range");
  }
  return value.get<int32_t>();
}

std::vector<TemplateItem> read_template(const Json& list, const Json& specials, const std::string& where) {
  if (!list.is_array()) bad_input(where, "the post-processor's template is not an array");
  std::vector<TemplateItem> items;
  for (const Json& entry : list) {
    if (!entry.is_object() || entry.size() != 1 || !entry.begin().value().is_object()) {
      bad_input(where, "an item of the post-processor's template is malformed");
    }
    const Json& body = entry.begin().value();
    TemplateItem item;
    item.type_id = static_cast<int32_t>(json_int_or(body, "type_id", 0, 0, 255, where));
    const std::string id = json_string(body, "id", where);
    if (entry.begin().key() == "Sequence") {
      if (id != "A" && id != "B") bad_input(where, "a template's sequence is neither A nor B");
      item.kind = id == "A" ? TemplateItem::Kind::kFirst : TemplateItem::Kind::kSecond;
    } else if (entry.begin().key() == "SpecialToken") {
      const Json& ids = json_member(json_object_member(specials, id.c_str(), where), "ids");
      if (!ids.is_array())
        bad_input(where, fmt::format("special token \"{}\" of the template has no ids", printable(id)));
      for (const Json& value : ids) item.ids.push_back(checked_id(value, where));
    } else {
      bad_input(where, "an item of the post-processor's template is neither Sequence nor SpecialToken");
    }
    items.push_back(std::move(item));
  }
  return items;
}

void read_template_processing(const Json& value, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  const Json& specials = json_object_member(value, "special_tokens", spec.where);
  spec.single = read_template(json_member(value, "single"), specials, spec.where);
  spec.pair = read_template(json_member(value, "pair"), specials, spec.where);
  const auto count = [](const std::vector<TemplateItem>& items, Kind kind) {
    return std::count_if(items.begin(), items.end(), [kind](const TemplateItem& item) { return item.kind == kind; });
  };
  if (count(spec.single, Kind::kFirst) != 1 || count(spec.single, Kind::kSecond) != 0 ||
      count(spec.pair, Kind::kFirst) != 1 || count(spec.pair, Kind::kSecond) != 1) {
    bad_input(spec.where, "the post-processor's templates do not have each sequence once");
  }
}

// `BertProcessing` and `RobertaProcessing`: {"cls": ["<s>", 0], "sep": ["</s>", 2]}.
void read_fixed_processing(const Json& value, bool is_roberta, TokenizerSpec& spec) {
  const auto read = [&](const char* key, std::string& name) {
    const Json& item = json_member(value, key);
    if (!item.is_array() || item.size() != 2 || !item[0].is_string()) {
      bad_input(spec.where, fmt::format("\"{}\" is not [token, id]", key));
    }
    name = item[0].get<std::string>();
    return checked_id(item[1], spec.where);
  };
  const int32_t cls = read("cls", spec.options.cls_token);
  const int32_t sep = read("sep", spec.options.sep_token);
  if (!is_roberta) return set_bert_template(cls, sep, spec);
  set_roberta_template(cls, sep, spec);
  spec.trimming.on = json_bool_or(value, "trim_offsets", true, spec.where);
  spec.trimming.add_prefix_space = json_bool_or(value, "add_prefix_space", true, spec.where);
}

void read_processor(const Json& value, TokenizerSpec& spec) {
  const std::string type = json_type_of(value, "post_processor", spec.where);
  if (type == "TemplateProcessing") return read_template_processing(value, spec);
  if (type == "BertProcessing") return read_fixed_processing(value, false, spec);
  if (type == "RobertaProcessing") return read_fixed_processing(value, true, spec);
  if (type != "ByteLevel") {
    unsupported_json_part("post_processor", type, "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel",
                          spec.where);
  }
  spec.trimming.on = json_bool_or(value, "trim_offsets", true, spec.where);
  spec.trimming.add_prefix_space = json_bool_or(value, "add_prefix_space", true, spec.where);
}

}  // namespace

void read_post_processor(const Json& value, TokenizerSpec& spec) {
  set_bare_template(spec);
  if (value.is_null()) return;
  if (json_type_of(value, "post_processor", spec.where) != "Sequence") return read_processor(value, spec);
  const Json& list = json_member(value, "processors");
  if (!list.is_array()) bad_input(spec.where, "the post-processor's \"processors\" is not an array");
  int n_templates = 0;
  for (const Json& processor : list) {
    n_templates += json_type_of(processor, "post_processor", spec.where) != "ByteLevel";
    if (n_templates > 1) bad_input(spec.where, "more than one template in the post-processor is not supported");
    read_processor(processor, spec);
  }
}

void set_bert_template(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSecond, {}, 1});
  spec.pair.push_back({Kind::kSpecial, {sep}, 1});
}

void set_roberta_template(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSpecial, {sep}, 0});
  spec.pair.push_back({Kind::kSecond, {}, 0});
  spec.pair.push_back({Kind::kSpecial, {sep}, 0});
}

void set_t5_template(int32_t eos, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kFirst, {}, 0}, {Kind::kSpecial, {eos}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSecond, {}, 0});
  spec.pair.push_back({Kind::kSpecial, {eos}, 0});
}

void set_bare_template(TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kFirst, {}, 0}};
  spec.pair = {{Kind::kFirst, {}, 0}, {Kind::kSecond, {}, 1}};
}

}  // namespace fettle
