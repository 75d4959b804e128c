// The roofline model. Its efficiencies are those of the plan in docs/gpu-prediction.md.
#include "tools/roofline.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "tools/recorded.h"

namespace fjord {

namespace {

constexpr double kSecondsPerKernel = 1.5e-6;  // start and end of a kernel inside of a CUDA graph
constexpr double kPass = 0.88, kReduction = 0.75, kCopyOfParameters = 0.8;
// What lies in the second-level cache is read faster; a tensor stays there if it takes less than
// this share of it.
constexpr double kCacheGain = 1.7, kCacheShare = 0.3;

bool half_type(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

ConvPass pass_of(std::string_view op) {
  if (op.ends_with("conv_forward") || op == "conv_inference") return ConvPass::forward;
  if (op.ends_with("conv_backward_data")) return ConvPass::backward_data;
  if (op.ends_with("conv_backward_filter")) return ConvPass::backward_filter;
  return ConvPass::none;
}

// Kernels behind one step of the CUDA backend, where there are several: sums in two stages, both
// parts of a split convolution, a filter's gradient brought to f32.
int kernels_of(std::string_view op, bool scratch) {
  static const std::map<std::string_view, int> several{
      {"batch_norm_statistics", 2}, {"batch_norm_backward_reduce", 2},
      {"loss_forward", 2},          {"lovasz_forward", 8},
      {"upsample_conv_forward", 3}, {"upsample_conv_backward_data", 3},
      {"gradient_norm", 2},         {"upsample_conv_backward_filter", 4}};
  if (const auto found = several.find(op); found != several.end()) return found->second;
  return 1 +
         (pass_of(op) == ConvPass::backward_filter || (pass_of(op) != ConvPass::none && scratch));
}

// Whether a convolution leaves sums a channel beside its image, which a kernel of their own puts
// together.
bool leaves_sums(const Step& step, ConvPass pass) {
  if (pass != ConvPass::forward && pass != ConvPass::backward_data) return false;
  return std::any_of(step.writes.begin() + 1, step.writes.end(), [](const Slot* slot) {
    return slot->kind != Kind::scratch && slot->shape.n == 1 && slot->shape.h == 1;
  });
}

bool is_reduction(std::string_view op) {
  return op == "batch_norm_statistics" || op == "batch_norm_backward_reduce" ||
         op == "loss_forward" || op == "gradient_norm";
}

// The window, as K x R x S x C: it stands where the pass reads or writes it.
Shape filter_of(const Step& step, ConvPass pass) {
  if (pass == ConvPass::backward_filter) return step.writes[0]->shape;
  for (const Slot* slot : step.reads)
    if (slot->parameter) return slot->shape;
  return step.reads.at(1)->shape;
}

void describe_convolution(const Step& step, Work& work) {
  const Shape filter = filter_of(step, work.pass), written = step.writes[0]->shape;
  work.flops = 2.0 * static_cast<double>(multiply_adds(step));
  work.rows = work.pass == ConvPass::backward_filter ? 0 : written.pixels();
  work.columns = work.pass == ConvPass::forward         ? filter.n
                 : work.pass == ConvPass::backward_data ? written.c
                                                        : std::min(filter.n, filter.c);
  work.dtype = step.reads[0]->dtype;
  work.narrow = filter.h == 1 || filter.c < 8;
  work.tail = step.implementation.starts_with("tail");
}

// Of its peak, what a convolution reaches: less with few columns, and where its tiles of 128 x 128
// do not fill the multiprocessors.
double conv_efficiency(const Work& work, const Card& card) {
  if (work.tail) return work.pass == ConvPass::forward ? 0.45 : 0.40;
  const double columns = work.columns >= 256   ? 1.0
                         : work.columns >= 128 ? 0.95
                         : work.columns >= 64  ? 0.72
                         : work.columns >= 32  ? 0.42
                                               : 0.22;
  double filled = 1, base = 0.58;
  if (work.pass != ConvPass::backward_filter) {
    base = 0.70;
    const std::int64_t tiles =
        (work.rows + 127) / 128 * std::max<std::int64_t>(1, (work.columns + 127) / 128);
    const std::int64_t waves = (tiles + card.processors - 1) / card.processors;
    if (tiles < 4 * card.processors)
      filled =
          std::max(0.6, static_cast<double>(tiles) / static_cast<double>(waves * card.processors));
  }
  return base * columns * filled * (work.narrow ? 0.5 : 1);
}

double product_rate(const Work& work, const Card& card, ConvMath math) {
  if (half_type(work.dtype)) return card.half_tflops * 1e12;
  return (math == ConvMath::tf32 ? card.tf32_tflops : card.float_tflops) * 1e12;
}

double memory_efficiency(const Work& work, const Card& card) {
  const bool cached = work.largest < kCacheShare * card.l2_mb * 1e6;
  const bool parameters = work.op == "adamw_update" || work.op == "sgd_update";
  const double share = parameters ? kCopyOfParameters : is_reduction(work.op) ? kReduction : kPass;
  return share * (cached ? kCacheGain : 1);
}

Prediction::Row predict_step(const Work& w, const Card& card, ConvMath math) {
  const double copy = card.copy_tb_s * 1e12, rate = product_rate(w, card, math);
  const double memory = w.bytes / (copy * memory_efficiency(w, card));
  const double products = w.flops > 0 ? w.flops / (rate * conv_efficiency(w, card)) : 0;
  return {.op = w.op,
          .path = w.path,
          .steps = 1,
          .kernels = w.kernels,
          .gb = w.bytes * 1e-9,
          .gflop = w.flops * 1e-9,
          .floor_ms = std::max(w.bytes / copy, w.flops / rate) * 1e3,
          .ms = (std::max(memory, products) + kSecondsPerKernel * w.kernels) * 1e3};
}

void add(Prediction::Row& sum, const Prediction::Row& row) {
  sum.steps += row.steps, sum.kernels += row.kernels;
  sum.gb += row.gb, sum.gflop += row.gflop;
  sum.floor_ms += row.floor_ms, sum.ms += row.ms;
}

}  // namespace

std::vector<Work> work_of(const Tape& tape) {
  std::vector<Work> all;
  std::set<const Slot*> written;
  for (const Step& step : tape.steps) {
    Work work{.op = step.op, .path = step.path};
    for (const Slot* slot : step.reads) {
      const auto bytes = static_cast<double>(slot->bytes());
      work.bytes += bytes, work.largest = std::max(work.largest, bytes);
    }
    for (const Slot* slot : step.writes) {
      const auto bytes = static_cast<double>(slot->bytes());
      const bool adds = !written.insert(slot).second && !step.again;
      const bool read = std::find(step.reads.begin(), step.reads.end(), slot) != step.reads.end();
      const bool scratch = slot->kind == Kind::scratch;
      work.bytes += scratch || (adds && !read) ? 2 * bytes : bytes;
      work.scratch += scratch ? 2 * bytes : 0;
      work.largest = std::max(work.largest, bytes);
    }
    work.pass = pass_of(work.op);
    if (work.pass != ConvPass::none) describe_convolution(step, work);
    work.kernels = kernels_of(work.op, work.scratch > 0) + leaves_sums(step, work.pass);
    all.push_back(std::move(work));
  }
  return all;
}

std::vector<Work> optimizer_work(std::int64_t values, DType shadow) {
  const auto count = static_cast<double>(values);
  // Read: gradient, weight, two moments; written: weight, two moments.
  const double copy = half_type(shadow) ? static_cast<double>(size_of(shadow)) : 0;
  return {{.op = "gradient_norm", .bytes = 4 * count, .largest = 4 * count, .kernels = 2},
          {.op = "adamw_update", .bytes = (7 * 4 + copy) * count, .largest = 4 * count}};
}

Prediction predict(const std::vector<Work>& work, const Card& card, ConvMath math) {
  std::map<std::string, Prediction::Row> rows;
  Prediction prediction;
  prediction.total.op = "total";
  for (const Work& w : work) {
    const Prediction::Row& step = prediction.steps.emplace_back(predict_step(w, card, math));
    add(rows[w.op], step);
    add(prediction.total, step);
  }
  for (auto& [op, row] : rows) {
    row.op = op;
    prediction.rows.push_back(row);
  }
  std::sort(prediction.rows.begin(), prediction.rows.end(),
            [](const auto& a, const auto& b) { return a.ms > b.ms; });
  return prediction;
}

}  // namespace fjord
