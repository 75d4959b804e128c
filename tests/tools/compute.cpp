// What the environment says of convolutions and threads, and the names of precisions.
#include "tools/compute.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "kernels/cpu/backend.h"
#include "tests/tools/user.h"

using namespace fjord;

namespace {

/// Set for a while; absent: unset.
struct Variable {
  Variable(const char* name, const char* value) : name(name) {
    if (const char* old = std::getenv(name)) before = old;
    set(value);
  }
  ~Variable() { set(before ? before->c_str() : nullptr); }
  void set(const char* value) const { value ? ::setenv(name, value, 1) : ::unsetenv(name); }

  const char* name;
  std::optional<std::string> before;
};

std::string folder_of(const char* cache, const char* home) {
  const Variable asked("FJORD_CUDNN_TUNE", "1"), xdg("XDG_CACHE_HOME", cache), at("HOME", home);
  const ConvTuning tuning = tuning_of_environment();
  CHECK(tuning.timed);
  return tuning.folder;
}

}  // namespace

TEST_CASE("convolutions are timed only where FJORD_CUDNN_TUNE is 1; where choices are kept") {
  for (const char* off : {static_cast<const char*>(nullptr), "", "0"}) {
    const Variable asked("FJORD_CUDNN_TUNE", off);
    CHECK(!tuning_of_environment().timed);
  }
  {
    const Variable asked("FJORD_CUDNN_TUNE", "yes");
    CHECK_THROWS_WITH_AS(tuning_of_environment(),
                         doctest::Contains("error[E-environment] FJORD_CUDNN_TUNE=yes"), Error);
  }
  CHECK(folder_of("/c", "/h") == "/c/fjord");
  CHECK(folder_of(nullptr, "/h") == "/h/.cache/fjord");
  CHECK(folder_of("", nullptr) == "");
}

TEST_CASE("cuDNN's sums are taken only where FJORD_CUDNN_SUMS is 1, with timing or without") {
  for (const char* off : {static_cast<const char*>(nullptr), "", "0"}) {
    const Variable asked("FJORD_CUDNN_SUMS", off);
    CHECK(!tuning_of_environment().library_sums);
  }
  {
    const Variable asked("FJORD_CUDNN_SUMS", "2");
    CHECK_THROWS_WITH_AS(tuning_of_environment(),
                         doctest::Contains("error[E-environment] FJORD_CUDNN_SUMS=2"), Error);
  }
  const Variable asked("FJORD_CUDNN_SUMS", "1");
  for (const char* timed : {"0", "1"}) {
    const Variable timing("FJORD_CUDNN_TUNE", timed);
    CHECK(tuning_of_environment().library_sums);
    CHECK(tuning_of_environment().timed == (timed == std::string_view("1")));
  }
}

TEST_CASE("what is set reaches every tape, and convolutions from there") {
  const auto options = [] { return tape_options(Backend::cpu, Precision::fp32, Mode::eval); };
  CHECK(!options().tuning.timed);
  set_conv_tuning({.timed = true, .folder = "/c/fjord"});
  CHECK(options().tuning.timed);
  CHECK(options().tuning.folder == "/c/fjord");
  set_conv_tuning({});
  CHECK(!options().tuning.timed);
}

TEST_CASE("precisions by their names") {
  for (const char* name : {"fp32", "tf32", "bf16", "fp16"})
    CHECK(to_string(precision_of(name)) == name);
  CHECK_THROWS_WITH_AS(precision_of("fp8"), doctest::Contains("there is no such precision"), Error);
}

namespace {

test::Outcome infer_on(const std::string& isa) {
  return test::run({"fjord-bench", "infer", "--encoder", "resnet18", "--size", "32", "--steps", "1",
                    "--warmup", "0", "--isa", isa, "--json", "-"});
}

}  // namespace

TEST_CASE("plain loops work, and a user is told once that they are slow") {
  const auto lines_of = [](const test::Outcome& ran) {
    REQUIRE_MESSAGE(ran.code == 0, ran.err);
    CHECK(ran.json().at("median_ms").get<double>() > 0);
    int lines = 0;
    const std::string_view text = "instructions: plain (";
    for (std::size_t at = ran.err.find(text); at != std::string::npos;
         at = ran.err.find(text, at + 1))
      ++lines;
    return lines;
  };
  CHECK(lines_of(infer_on("plain")) == 1);
  CHECK(lines_of(infer_on("auto")) == (best_isa() == Isa::plain ? 1 : 0));
}

TEST_CASE("an instruction set that does not exist is refused") {
  const test::Outcome refused = infer_on("sse9");
  CHECK(refused.code == 2);
  CHECK_MESSAGE(refused.error().find("--isa") != std::string::npos, refused.err);
  CHECK_MESSAGE(refused.error().find("avx512, avx2, plain") != std::string::npos, refused.err);
}

TEST_CASE("threads that OpenMP binds to cores are as many as those that it leaves free") {
  const Variable policy("OMP_WAIT_POLICY", nullptr), spins("GOMP_SPINCOUNT", nullptr);
  const auto threads_of = [](const std::vector<std::string>& environment) {
    const test::Outcome ran = test::run({"fjord-bench", "infer", "--encoder", "resnet18", "--size",
                                         "32", "--steps", "1", "--warmup", "0", "--json", "-"},
                                        {.environment = environment});
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    return ran.json().at("threads").get<int>();
  };
  CHECK(threads_of({"OMP_PROC_BIND=true"}) == threads_of({}));
}
