// The table of cards.
#include "tools/cards.h"

#include <array>

namespace fjord {

namespace {

// Of a data sheet's figures, what the measured H200 reaches of its own: 4.3 of 4.8 TB/s, 790 of 989
// TFLOP/s.
constexpr double kCopyShare = 4.3 / 4.8, kProductShare = 790.0 / 989;

// Figures of NVIDIA's data sheets and architecture white papers: dense products summed in f32.
struct Sheet {
  double tb_s = 0, half = 0, tf32 = 0, single = 0;
};
constexpr Card card(std::string_view name, int processors, Sheet sheet, double l2_mb,
                    double memory_gb) {
  return {name,
          processors,
          kCopyShare * sheet.tb_s,
          kProductShare * sheet.half,
          kProductShare * sheet.tf32,
          kProductShare * sheet.single,
          l2_mb,
          memory_gb};
}

constexpr std::array kCards{
    Card{"H200", 132, 4.3, 790, kProductShare * 494, kProductShare * 67, 60, 141},
    card("H100 SXM", 132, {3.35, 989, 494, 67}, 50, 80),
    card("A100 SXM 80 GB", 108, {2.039, 312, 156, 19.5}, 40, 80),
    card("L4", 58, {0.3, 121, 60, 30.3}, 48, 24),
    card("RTX 3090", 82, {0.936, 71, 35.6, 35.6}, 6, 24),
    card("RTX 4090", 128, {1.008, 165.2, 82.6, 82.6}, 72, 24),
};

}  // namespace

std::span<const Card> known_cards() { return kCards; }

}  // namespace fjord
