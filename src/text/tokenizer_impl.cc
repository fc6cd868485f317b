#include "text/tokenizer_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/printable.h"
#include "text/unicode.h"

namespace fettle {
namespace {

using Kind = TemplateItem::Kind;

int count_special(const std::vector<TemplateItem>& items) {
  size_t n = 0;
  for (const TemplateItem& item : items) n += item.ids.size();
  return static_cast<int>(n);
}

std::vector<TemplateItem> without_special(std::vector<TemplateItem> items) {
  std::erase_if(items, [](const TemplateItem& item) { return item.kind == Kind::kSpecial; });
  return items;
}

}  // namespace

Tokenizer::Impl::Impl(TokenizerSpec loaded)
    : spec(std::move(loaded)),
      model(make_piece_model(spec)),
      raw_matcher({}),
      normalized_matcher({}),
      bare_single(without_special(spec.single)),
      bare_pair(without_special(spec.pair)),
      n_special_single(count_special(spec.single)),
      n_special_pair(count_special(spec.pair)) {
  index_added_tokens();
  check_ids();
  raw_matcher = make_matcher(false);
  normalized_matcher = make_matcher(true);
  for (const AddedToken& token : spec.added) all_added_are_special = all_added_are_special && token.special;

  pad_id = find(spec.options.pad_token);
  cls_id = find(spec.options.cls_token);
  sep_id = find(spec.options.sep_token);
  mask_id = find(spec.options.mask_token);
}

void Tokenizer::Impl::index_added_tokens() {
  int64_t n_ids = model->size();
  for (const AddedToken& token : spec.added) n_ids = std::max<int64_t>(n_ids, token.id + 1);
  if (n_ids > model->size() + 2 * std::ssize(spec.added) + 1024) {
    bad_input(spec.where, fmt::format("added token id {} is far above the vocabulary of {}", n_ids - 1, model->size()));
  }
  special.resize(static_cast<size_t>(n_ids));
  added_by_content.resize(spec.added.size());
  std::iota(added_by_content.begin(), added_by_content.end(), 0u);
  added_by_id = added_by_content;
  std::sort(added_by_content.begin(), added_by_content.end(),
            [&](uint32_t a, uint32_t b) { return spec.added[a].content < spec.added[b].content; });
  std::sort(added_by_id.begin(), added_by_id.end(),
            [&](uint32_t a, uint32_t b) { return spec.added[a].id < spec.added[b].id; });
  for (const AddedToken& token : spec.added) {
    if (token.special) special[static_cast<size_t>(token.id)] = true;
  }
}

void Tokenizer::Impl::check_ids() const {
  for (size_t i = 1; i < spec.added.size(); ++i) {
    const AddedToken& twin = spec.added[added_by_content[i]];
    if (spec.added[added_by_content[i - 1]].content == twin.content) {
      bad_input(spec.where, fmt::format("added token \"{}\" appears twice", printable(twin.content)));
    }
    const int32_t id = spec.added[added_by_id[i]].id;
    if (spec.added[added_by_id[i - 1]].id == id) bad_input(spec.where, fmt::format("two added tokens have id {}", id));
  }
  for (const AddedToken& token : spec.added) {
    const std::string_view same_id = token.id < model->size() ? model->piece(token.id) : std::string_view();
    if (same_id == token.content) continue;
    if (!same_id.empty() || model->find(token.content)) {
      bad_input(spec.where, fmt::format("added token \"{}\" with id {} contradicts the vocabulary",
                                        printable(token.content), token.id));
    }
  }
  for (const std::vector<TemplateItem>* items : {&spec.single, &spec.pair}) {
    for (const TemplateItem& item : *items) {
      for (const int32_t id : item.ids) {
        if (id >= std::ssize(special))
          bad_input(spec.where, fmt::format("template id {} is not in the vocabulary", id));
      }
    }
  }
}

AddedTokenMatcher Tokenizer::Impl::make_matcher(bool normalized) const {
  std::vector<AddedTokenMatcher::Pattern> patterns;
  for (const AddedToken& token : spec.added) {
    if (token.normalized != normalized) continue;
    std::string text = token.content;
    if (normalized) {
      const NormalizedText content = model->normalize(text, 0);
      text = to_utf8(content, 0, content.size());
    }
    if (!text.empty()) patterns.push_back({std::move(text), &token});
  }
  return AddedTokenMatcher(std::move(patterns));
}

std::string_view Tokenizer::Impl::piece(int32_t id) const {
  const auto added = std::lower_bound(added_by_id.begin(), added_by_id.end(), id,
                                      [&](uint32_t i, int32_t wanted) { return spec.added[i].id < wanted; });
  if (added != added_by_id.end() && spec.added[*added].id == id) return spec.added[*added].content;
  return id < model->size() ? model->piece(id) : std::string_view();
}

std::optional<int32_t> Tokenizer::Impl::find(std::string_view piece) const {
  if (const auto id = model->find(piece)) return id;
  const auto added =
      std::lower_bound(added_by_content.begin(), added_by_content.end(), piece,
                       [&](uint32_t i, std::string_view wanted) { return spec.added[i].content < wanted; });
  if (added != added_by_content.end() && spec.added[*added].content == piece) return spec.added[*added].id;
  return std::nullopt;
}

const std::vector<TemplateItem>& Tokenizer::Impl::single(const EncodeOptions& options) const {
  return options.add_special_tokens ? spec.single : bare_single;
}

const std::vector<TemplateItem>& Tokenizer::Impl::pair(const EncodeOptions& options) const {
  return options.add_special_tokens ? spec.pair : bare_pair;
}

}  // namespace fettle
