// How long a recorded step would take on a card: each kernel by its bytes and its products,
// whichever takes longer, with assumed efficiencies. A model to be replaced by measurements; see
// docs/gpu-prediction.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tape.h"
#include "kernels/conv.h"
#include "tools/cards.h"

namespace fjord {

enum class ConvPass : std::uint8_t { none, forward, backward_data, backward_filter };

/// What one step of a tape asks of a machine.
struct Work {
  std::string op = {}, path = {};
  double bytes = 0;    // read and written, each tensor once
  double scratch = 0;  // of these, scratch: written and read
  double largest = 0;  // bytes of the largest tensor
  double flops = 0;
  DType dtype = DType::f32;
  int kernels = 1;
  // Convolutions, as products of matrices: rows are pixels, columns are channels.
  ConvPass pass = ConvPass::none;
  std::int64_t rows = 0, columns = 0;
  bool narrow = false;  // a 1x1 window or fewer than 8 channels: tensor cores are fed badly
  bool tail = false;    // one of the kernels written by hand for few channels
};

/// A tensor of gradients that an earlier step wrote is added to, so it counts twice.
std::vector<Work> work_of(const Tape& tape);
/// The norm of the gradients and AdamW over flat buffers of so many values. `shadow`: a copy of the
/// weights in 16 bits is written too.
std::vector<Work> optimizer_work(std::int64_t values, DType shadow);

struct Prediction {
  struct Row {
    std::string op, path = {};  // path: of one step alone
    int steps = 0, kernels = 0;
    double gb = 0, gflop = 0;
    double floor_ms = 0;  // sum over steps of the longer of bytes and products at the card's rates
    double ms = 0;
  };
  std::vector<Row> rows;   // by operation, longest first
  std::vector<Row> steps;  // as they follow each other
  Row total;
};

Prediction predict(const std::vector<Work>& work, const Card& card, ConvMath math);

}  // namespace fjord
