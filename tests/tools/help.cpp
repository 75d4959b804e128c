// --help: one screen, three examples, fast; --version.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "user.h"

using namespace fjord::test;

namespace {

const std::vector<std::string> kPrograms = {"fjord-train",   "fjord-evaluate", "fjord-predict",
                                            "fjord-inspect", "fjord-data",     "fjord-bench",
                                            "fjord-import",  "fjord-export"};

}  // namespace

TEST_CASE("help fits a screen and shows three examples to copy") {
  for (const std::string& program : kPrograms) {
    const Outcome outcome = run({program, "--help"});
    CHECK(outcome.code == 0);
    CHECK(outcome.err.empty());
    std::istringstream lines(outcome.out);
    int count = 0, examples = 0;
    std::size_t widest = 0;
    bool in_examples = false;
    for (std::string line; std::getline(lines, line); ++count) {
      widest = std::max(widest, line.size());
      examples += in_examples && line.starts_with("  " + program);
      in_examples = in_examples || line == "examples:";
    }
    CHECK_MESSAGE(count <= 45, program, " has ", count, " lines");
    CHECK_MESSAGE(widest <= 100, program, " has a line of ", widest);
    CHECK_MESSAGE(examples == 3, program);
  }
}

TEST_CASE("every program has the common flags") {
  for (const std::string& program : kPrograms) {
    const std::string help = run({program, "--help"}).out;
    for (const char* flag : {"--quiet", "--json", "--device", "--isa", "--threads", "--seed"})
      CHECK_MESSAGE(help.find(flag) != std::string::npos, program, " ", flag);
    CHECK(run({program, "--version"}).out == program + " 0.1.0\n");
  }
}

TEST_CASE("a program starts and prints its help at once") {
  double best = 1;
  for (int i = 0; i < 10; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run({"fjord-train", "--help"});
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  MESSAGE("fjord-train --help: ", best * 1e3, " ms");
  // Figure: 50 ms on an idle machine. The bound leaves room for sanitizers and busy cores.
  CHECK(best < 0.5);
}

TEST_CASE("a listing cut off by its reader ends quietly") {
  const TempFolder folder;
  const std::string program = std::string(FJORD_PROGRAMS) + "/fjord-inspect";
  const std::string command =
      program + " --device cpu --encoder resnet18 --size 64 --batch 1 --infer 2>" +
      (folder / "err").string() + " | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}";
  const int status = std::system(("bash -c '" + command + "'").c_str());
  CHECK(status == 0);
  CHECK(read_text(folder / "err").empty());
}
