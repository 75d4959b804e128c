// What the CPU's loss kernels share: chunks, labels, the softmax of a pixel.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/cpu/fill.h"
#include "kernels/cpu/parallel.h"
#include "kernels/error.h"
#include "kernels/loss.h"
#include "kernels/loss_math.h"

namespace fjord {

/// Sums are split into chunks of this many pixels, or errors, and added in their order.
constexpr std::int64_t kLossChunk = 4096;

inline std::int64_t loss_chunks(std::int64_t count) { return Chunks{count, kLossChunk}.pieces(); }

/// body(chunk, begin, end) for every chunk of [0, count), in parallel.
template <class Body>
void for_each_chunk(std::int64_t count, const Body& body) {
  const Chunks chunks{count, kLossChunk};
  parallel_for(chunks.pieces(), [&](std::int64_t chunk) {
    body(chunk, chunks.begin(chunk), chunks.begin(chunk) + chunks.length(chunk));
  });
}

/// The class of a u8 label, or -1 when it is ignored or outside of 0..classes-1.
inline int class_of(std::uint8_t label, int classes, const LabelRule& rule) {
  return label >= classes || label == rule.ignore ? -1 : label;
}

/// Labels of single elements: u8 (0, 1) or soft f32.
struct ElementLabel {
  const std::uint8_t* hard = nullptr;
  const float* soft = nullptr;
  const LabelRule& rule;

  ElementLabel(In label, const LabelRule& rule) : rule(rule) {
    if (label.dtype() == DType::u8)
      hard = label.as<std::uint8_t>();
    else
      soft = label.as<float>();
  }
  bool counts(std::int64_t i) const {
    if (hard) return class_of(hard[i], 2, rule) >= 0;
    return !rule.ignore || soft[i] != static_cast<float>(*rule.ignore);
  }
  float operator[](std::int64_t i) const { return hard ? static_cast<float>(hard[i]) : soft[i]; }
};

constexpr int kMaxClasses = 256;  // of a u8 label

inline double weight_of(const PixelLoss& loss, int c) {
  return loss.class_weights.empty() ? 1 : loss.class_weights[static_cast<std::size_t>(c)];
}

inline Bce<float> bce_of(const PixelLoss& loss, int c) {
  const double positive = loss.positive.empty() ? 1 : loss.positive[static_cast<std::size_t>(c)];
  return {static_cast<float>(loss.smooth), static_cast<float>(positive)};
}

inline std::optional<Focal<float>> focal_of(const LossTerms& terms) {
  if (!terms.focal) return {};
  return focal_formula<float>(*terms.focal);
}

/// p = softmax(z) over `classes` values; returns log(sum(exp(z))).
inline double softmax(const float* z, int classes, float* p) {
  float largest = z[0];
  for (int c = 1; c < classes; ++c) largest = std::max(largest, z[c]);
  float sum = 0;
  for (int c = 0; c < classes; ++c) sum += p[c] = std::exp(z[c] - largest);
  const float inverse = 1 / sum;
  for (int c = 0; c < classes; ++c) p[c] *= inverse;
  return static_cast<double>(largest) + std::log(static_cast<double>(sum));
}

/// The CPU computes losses in f32, with sums in double.
inline void require_f32(In logits, const char* kernel) {
  if (logits.dtype() != DType::f32)
    throw Error(ExitCode::bug, "dtype", kernel, "the CPU computes losses on f32 logits",
                "record the tape with f32");
}

inline void write_loss(Out loss, double value) {
  float& result = *loss.as<float>();
  if (loss.write == Write::add) value += static_cast<double>(result);
  result = static_cast<float>(value);
}

}  // namespace fjord
