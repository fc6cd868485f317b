// Classifies a text with a model folder: classify MODEL TEXT
#include <fettle/classifier.h>
#include <fettle/error.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL TEXT\n");
    return 2;
  }
  try {
    fettle::Classifier classifier(argv[1]);
    const fettle::Classification result = classifier.classify(argv[2]);
    std::printf("%s %.4f%s\n", result.label.c_str(), result.score, result.in_scope ? "" : " (out of scope)");
  } catch (const fettle::Error& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
