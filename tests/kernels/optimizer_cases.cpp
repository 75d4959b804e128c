// Cases of the optimizers.
#include "kernels/optimizer.h"

#include <array>
#include <bit>
#include <limits>

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

double positive(std::int64_t i) { return uniform(5, i, 0, 1); }

// Two groups with a hole between them that nothing may write, and one longer than a chunk.
std::vector<Segment> segments_of(std::int64_t count) {
  if (count < 100) return {{0, count, 1.0, 0.01}};
  return {{0, 17, 0.1, 0.0}, {20, 21, 1.0, 0.5}, {33, count, 1.0, 0.01}};
}

// More groups than fit one launch of a device, each of its own length, size and alignment.
std::vector<Segment> many_segments(std::int64_t count) {
  std::vector<Segment> segments;
  for (std::int64_t begin = 0, i = 0; begin + 4 * i + 9 < count && i < 300; ++i) {
    const std::int64_t end = begin + 1 + (7 * i) % 23;
    segments.push_back({begin, end, 1.0 + 0.01 * static_cast<double>(i), i % 2 ? 0.1 : 0.0});
    begin = end + i % 3;
  }
  return segments;
}

enum class Shadow : std::uint8_t { none, kept };

std::string words(const StepParams& params, Shadow shadow) {
  return fmt::format("step {}{}{}", params.step, params.skip ? " skipped" : "",
                     shadow == Shadow::kept ? ", shadow" : "");
}

// Where it has holes, the shadow keeps what it had.
void add_shadow(OpCase& c, Shadow shadow, Shape s) {
  if (shadow == Shadow::kept) c.tensors.push_back(update("shadow", s));
}

void add_adamw(std::vector<OpCase>& cases, std::int64_t count, StepParams params, Shadow shadow,
               std::vector<Segment> (*segments)(std::int64_t) = segments_of) {
  const Shape s{1, 1, 1, count};
  OpCase c{.slot = "adamw_update",
           .what = fmt::format("{} values in {} groups, {}", count, segments(count).size(),
                               words(params, shadow)),
           .tensors = {read("dweight", s), update("weight", s), update("first", s),
                       update("second", s, positive)},
           .features = {"shadow"},
           .run = [=](Operands& t, Stream& stream) {
             adamw_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                          t.inout("first"), t.inout("second"), t.out("shadow"), segments(count),
                          AdamW{}, stream);
           }};
  add_shadow(c, shadow, s);
  cases.push_back(c);
}

void add_sgd(std::vector<OpCase>& cases, std::int64_t count, StepParams params, Sgd sgd,
             Shadow shadow) {
  const Shape s{1, 1, 1, count};
  OpCase c{.slot = "sgd_update",
           .what = fmt::format("{} values, {}, momentum {}{}", count, words(params, shadow),
                               sgd.momentum, sgd.nesterov ? " nesterov" : ""),
           .tensors = {read("dweight", s), update("weight", s)},
           .features = {"shadow"},
           .run = [=](Operands& t, Stream& stream) {
             sgd_update(t.data("params", params), t.in("dweight"), t.inout("weight"),
                        t.inout("velocity"), t.out("shadow"), segments_of(count), sgd, stream);
           }};
  add_shadow(c, shadow, s);
  if (sgd.momentum != 0) c.tensors.push_back(update("velocity", s));
  cases.push_back(c);
}

void add_ema(std::vector<OpCase>& cases, std::int64_t count, StepParams params) {
  const Shape s{1, 1, 1, count};
  cases.push_back({.slot = "ema_update",
                   .what = fmt::format("{} values, {}", count, words(params, Shadow::none)),
                   .tensors = {read("weight", s), update("average", s)},
                   .run = [=](Operands& t, Stream& stream) {
                     ema_update(t.data("params", params), t.in("weight"), t.inout("average"),
                                Ema{0.9}, stream);
                   }});
}

void add_norm(std::vector<OpCase>& cases, std::int64_t count,
              std::vector<Segment> (*segments)(std::int64_t) = segments_of) {
  cases.push_back(
      {.slot = "gradient_norm",
       .what = fmt::format("{} values in {} groups", count, segments(count).size()),
       .reduction = count,
       .tensors = {read("dweight", {1, 1, 1, count}), typed(write("norm", {}), DType::f64)},
       .run = [=](Operands& t, Stream& stream) {
         gradient_norm(t.in("dweight"), t.out("norm"), segments(count), stream);
       }});
}

constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// A few steps one after the other: the state goes from each to the next.
struct UpdateStory {
  std::string what;
  UpdateWish wish;
  UpdateRule rule;
  UpdateState before;
  std::vector<double> norms;  // one a step
  double loss = 0.75;
};

// All structs are compared byte by byte. Losses, divisors and scales are powers of two, so that no
// order of operations shows.
void add_story(std::vector<OpCase>& cases, const UpdateStory& story) {
  constexpr std::int64_t kReports = 3;
  const auto words = std::bit_cast<std::array<std::int32_t, 8>>(story.before);
  const auto state = [=](std::int64_t i) { return words[static_cast<std::size_t>(i)]; };
  const auto bytes = [](const char* name, std::int64_t count) {
    return typed(write(name, {1, 1, 1, count}), DType::u8);
  };
  OpCase c{.slot = "prepare_update",
           .what = story.what,
           .tensors = {typed(update("state", {1, 1, 1, 8}, state), DType::i32),
                       read("loss", {}, [=](std::int64_t) { return story.loss; }),
                       bytes("params", sizeof(StepParams)),
                       bytes("report", kReports * sizeof(UpdateReport))},
           .run = [=](Operands& t, Stream& stream) {
             const In wish = t.data("wish", story.wish);
             for (std::size_t i = 0; i < story.norms.size(); ++i)
               prepare_update(wish, t.in("loss"), t.in(fmt::format("norm {}", i)), t.inout("state"),
                              t.out("params"), t.out("report"), story.rule, stream);
           }};
  for (std::size_t i = 0; i < story.norms.size(); ++i) {
    const double norm = story.norms[i];
    c.tensors.push_back(
        typed(read(fmt::format("norm {}", i), {}, [=](std::int64_t) { return norm; }), DType::f64));
  }
  cases.push_back(c);
}

void add_stories(std::vector<OpCase>& cases) {
  const UpdateWish plain{.lr = 1e-2}, clipping{.lr = 1e-2, .clip_norm = 1, .gradient_divisor = 4};
  const UpdateRule fixed, dynamic{.loss_scaling = LossScaling::dynamic, .growth_interval = 2};
  const UpdateState fresh, scaled{.loss_scale = kFirstLossScale};
  add_story(cases, {"first step", plain, fixed, fresh, {2}});
  add_story(cases, {"clipped and below the limit", clipping, fixed, fresh, {0, 3, 4, 5, 1000}});
  add_story(cases,
            {"a norm without end halts for good", plain, fixed, fresh, {2, kInfinite, 2, 2}});
  add_story(cases, {"so does a loss", plain, fixed, fresh, {2, 2}, kInfinite});
  add_story(cases, {"a loss scale divides the norm", clipping, dynamic, scaled, {3 * 4 * 65536.0}});
  add_story(cases, {"it doubles, halves, doubles",
                    clipping,
                    dynamic,
                    scaled,
                    {1, 2, 4, kInfinite, kInfinite, 1, 2, kInfinite, 3}});
  UpdateRule impatient = dynamic;
  impatient.longest_skipped_run = 3;
  add_story(cases, {"too many skipped in a row halt",
                    plain,
                    impatient,
                    scaled,
                    {1, kInfinite, kInfinite, 1, kInfinite, kInfinite, kInfinite, 1}});
  add_story(cases, {"a scale at the end of floats stays",
                    plain,
                    dynamic,
                    {.loss_scale = 0x1p127f, .clean_steps = 1, .step = 7, .skipped = 5},
                    {1, 1}});
}

std::vector<OpCase> optimizer_cases() {
  std::vector<OpCase> cases;
  const StepParams skipped{.step = 5, .lr = 1e-2, .gradient_scale = 0, .skip = 1};
  for (const std::int64_t count : {1, 100, 100003}) {
    add_norm(cases, count);
    add_ema(cases, count, skipped);
    for (const std::int64_t step : {1, 2}) add_ema(cases, count, {.step = step});
    for (const Shadow shadow : {Shadow::none, Shadow::kept}) {
      add_adamw(cases, count, skipped, shadow);
      add_sgd(cases, count, skipped, {.momentum = 0}, shadow);
      add_sgd(cases, count, skipped, {.momentum = 0.9}, shadow);
      for (const std::int64_t step : {1, 2, 1000}) {
        const StepParams params{.step = step, .lr = 1e-2, .gradient_scale = 0.5};
        add_adamw(cases, count, params, shadow);
        add_sgd(cases, count, params, {.momentum = 0}, shadow);
        add_sgd(cases, count, params, {.momentum = 0.9}, shadow);
        add_sgd(cases, count, params, {.momentum = 0.9, .nesterov = true}, shadow);
      }
    }
  }
  add_norm(cases, 5000, many_segments);
  add_adamw(cases, 5000, {.step = 3, .lr = 1e-2}, Shadow::kept, many_segments);
  add_stories(cases);
  return cases;
}

const AddCases added(optimizer_cases);

}  // namespace

}  // namespace fjord
