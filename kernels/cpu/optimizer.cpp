// Optimizers on the CPU: one pass over the flat buffers, shared out in chunks of the segments.
#include "kernels/optimizer.h"

#include <cmath>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/parallel.h"

namespace fjord {

namespace {

struct Piece {
  std::int64_t begin, count;
  std::size_t segment;
};

// The segments cut into chunks: hundreds of small segments still fill all threads.
const std::vector<Piece>& pieces_of(const std::vector<Segment>& segments) {
  thread_local std::vector<Piece> pieces;
  pieces.clear();
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const Chunks chunks = value_chunks(segments[s].end - segments[s].begin);
    for (std::int64_t i = 0; i < chunks.pieces(); ++i)
      pieces.push_back({segments[s].begin + chunks.begin(i), chunks.length(i), s});
  }
  return pieces;
}

template <class Body>
void for_pieces(const std::vector<Segment>& segments, const Body& body) {
  const std::vector<Piece>& pieces = pieces_of(segments);
  const auto count = static_cast<std::int64_t>(pieces.size());
  parallel_for(count, [&](std::int64_t i) { body(i, pieces[static_cast<std::size_t>(i)]); });
}

// Convolutions on the CPU read the weights themselves; an f32 copy is kept where one is asked for.
void copy_to(Out shadow, const float* weight, const Piece& piece) {
  if (shadow) loops().copy(weight, shadow.as<float>() + piece.begin, piece.count, false);
}

void check_shadow(const char* kernel, Out shadow) {
  check(!shadow || shadow.dtype() == DType::f32, kernel, "keeps no 16-bit copy on the CPU");
}

void adamw(In params, In dweight, InOut weight, InOut first, InOut second, Out shadow,
           const std::vector<Segment>& segments, AdamW attributes, Stream&) {
  check_shadow("adamw_update", shadow);
  const StepParams step = *params.as<StepParams>();
  if (step.skip) return;
  for_pieces(segments, [&](std::int64_t, const Piece& piece) {
    const Segment& segment = segments[piece.segment];
    const auto scalars =
        adamw_scalars<float>(step, segment.lr_factor, segment.weight_decay, attributes);
    loops().adamw(dweight.as<float>() + piece.begin, weight.as<float>() + piece.begin,
                  first.as<float>() + piece.begin, second.as<float>() + piece.begin, piece.count,
                  scalars);
    copy_to(shadow, weight.as<float>() + piece.begin, piece);
  });
}

void sgd(In params, In dweight, InOut weight, InOut velocity, Out shadow,
         const std::vector<Segment>& segments, Sgd attributes, Stream&) {
  check_shadow("sgd_update", shadow);
  const StepParams step = *params.as<StepParams>();
  if (step.skip) return;
  for_pieces(segments, [&](std::int64_t, const Piece& piece) {
    const Segment& segment = segments[piece.segment];
    const auto scalars =
        sgd_scalars<float>(step, segment.lr_factor, segment.weight_decay, attributes);
    const float* gradient = dweight.as<float>() + piece.begin;
    float* values = weight.as<float>() + piece.begin;
    if (velocity)
      loops().sgd_momentum(gradient, values, velocity.as<float>() + piece.begin, piece.count,
                           step.step == 1, attributes.nesterov, scalars);
    else
      loops().sgd(gradient, values, piece.count, scalars);
    copy_to(shadow, values, piece);
  });
}

void ema(In params, In weight, InOut average, Ema attributes, Stream&) {
  const StepParams step = *params.as<StepParams>();
  if (step.skip) return;
  const std::vector<Segment> all{{.begin = 0, .end = weight.shape().count()}};
  for_pieces(all, [&](std::int64_t, const Piece& piece) {
    const float* values = weight.as<float>() + piece.begin;
    float* means = average.as<float>() + piece.begin;
    if (step.step == 1)
      loops().copy(values, means, piece.count, false);
    else
      loops().ema(values, means, piece.count, static_cast<float>(1 - attributes.decay));
  });
}

void norm(In dweight, Out result, const std::vector<Segment>& segments, Stream&) {
  const auto count = static_cast<std::int64_t>(pieces_of(segments).size());
  double* sums = partial_sums(count);
  for_pieces(segments, [&](std::int64_t i, const Piece& piece) {
    sums[i] = loops().sum_of_squares(dweight.as<float>() + piece.begin, piece.count);
  });
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += sums[i];
  *result.as<double>() = std::sqrt(total);
}

void prepare(In wish, In loss, In norm, InOut state, Out params, Out report, UpdateRule rule,
             Stream&) {
  *params.as<StepParams>() =
      decide_update(*wish.as<UpdateWish>(), rule, *loss.as<float>(), *norm.as<double>(),
                    *state.as<UpdateState>(), report.as<UpdateReport>(), reports_in(report));
}

}  // namespace

void fill_optimizer_kernels() {
  adamw_update.cpu = adamw;
  sgd_update.cpu = sgd;
  ema_update.cpu = ema;
  gradient_norm.cpu = norm;
  prepare_update.cpu = prepare;
}

}  // namespace fjord
