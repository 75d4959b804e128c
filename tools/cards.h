// What is known of the graphics cards that a step's time is predicted for.
#pragma once

#include <span>
#include <string_view>

namespace fjord {

/// Rates that well-written kernels reach, not those of the data sheet.
struct Card {
  std::string_view name;
  int processors = 0;       // multiprocessors
  double copy_tb_s = 0;     // a large copy, read and written bytes together
  double half_tflops = 0;   // large bf16 or fp16 products, summed in f32
  double tf32_tflops = 0;   // the same from tf32
  double float_tflops = 0;  // fp32 without tensor cores
  double l2_mb = 0;
  double memory_gb = 0;
};

/// The one that is predicted in detail stands first.
std::span<const Card> known_cards();

}  // namespace fjord
