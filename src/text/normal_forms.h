// Unicode's normal forms on text that remembers its sources (Unicode standard annex 15).
#pragma once

#include "text/normalized_text.h"

namespace fettle {

NormalizedText decompose_canonically(const NormalizedText& text);  // NFD
NormalizedText decompose_compatibly(const NormalizedText& text);   // NFKD
NormalizedText compose_canonically(const NormalizedText& text);    // NFC
NormalizedText compose_compatibly(const NormalizedText& text);     // NFKC

}  // namespace fettle
