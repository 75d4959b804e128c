// The Lovasz losses on the CPU (Berman, Triki, Blaschko 2018): every error is sorted once by a
// stable radix sort, so the result depends on neither threads nor the order of equal errors in
// memory.
#include <array>
#include <bit>
#include <numeric>
#include <utility>

#include "kernels/cpu/loss.h"

namespace fjord {
namespace {

constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;

// An error and where it came from; ascending keys are descending errors. Errors are positive
// floats, whose bits have the order of their values. A NaN comes first, so that it reaches the
// loss.
std::uint64_t pack(float error, std::int64_t index) {
  const std::uint32_t key = 0x7fffffffu - (std::bit_cast<std::uint32_t>(error) & 0x7fffffffu);
  return static_cast<std::uint64_t>(key) << 32 | static_cast<std::uint32_t>(index);
}
float error_of(std::uint64_t packed) {
  return std::bit_cast<float>(0x7fffffffu - static_cast<std::uint32_t>(packed >> 32));
}
std::int64_t index_of(std::uint64_t packed) { return static_cast<std::uint32_t>(packed); }

// One pass of the sort: stable scatter by a digit of the key. Each chunk knows where its first
// element of every digit goes, so the chunks are independent.
void sort_by_digit(const std::uint64_t* from, std::uint64_t* to, Chunks chunks, int shift,
                   std::vector<std::int64_t>& places) {
  places.assign(static_cast<std::size_t>(chunks.pieces() * kDigits), 0);
  auto digit = [shift](std::uint64_t packed) { return packed >> shift & (kDigits - 1); };
  auto places_of = [&](std::int64_t chunk) { return places.data() + chunk * kDigits; };
  parallel_for(chunks.pieces(), [&](std::int64_t chunk) {
    const std::uint64_t* at = from + chunks.begin(chunk);
    for (std::int64_t i = 0; i < chunks.length(chunk); ++i) ++places_of(chunk)[digit(at[i])];
  });
  std::int64_t place = 0;
  for (int d = 0; d < kDigits; ++d)
    for (std::int64_t chunk = 0; chunk < chunks.pieces(); ++chunk) {
      const std::int64_t count = places_of(chunk)[d];
      places_of(chunk)[d] = place;
      place += count;
    }
  parallel_for(chunks.pieces(), [&](std::int64_t chunk) {
    const std::uint64_t* at = from + chunks.begin(chunk);
    for (std::int64_t i = 0; i < chunks.length(chunk); ++i)
      to[places_of(chunk)[digit(at[i])]++] = at[i];
  });
}

// Sorts `packed` by key; `other` is as large. Returns which of the two holds the result.
std::uint64_t* sort(std::uint64_t* packed, std::uint64_t* other, std::int64_t count) {
  const Chunks chunks{count, std::max<std::int64_t>(kLossChunk, (count + 15) / 16)};
  std::vector<std::int64_t> places;
  for (int shift = 32; shift < 64; shift += kDigitBits) {
    sort_by_digit(packed, other, chunks, shift, places);
    std::swap(packed, other);
  }
  return packed;
}

// The errors of one problem in descending order, and as much memory beside them.
struct Sorted {
  const std::uint64_t* errors;
  std::uint64_t* free;
  std::int64_t count;
};

// Sorts the positive ones of error(0) .. error(count - 1); the others add nothing to loss or slope.
template <class Error>
Sorted sort_positive(std::int64_t count, std::uint64_t* scratch, Error error) {
  std::vector<std::int64_t> start(static_cast<std::size_t>(loss_chunks(count) + 1), 0);
  auto matters = [&](std::int64_t i) { return !(error(i) <= 0); };
  for_each_chunk(count, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    std::int64_t found = 0;
    for (std::int64_t i = begin; i < end; ++i) found += matters(i);
    start[static_cast<std::size_t>(chunk + 1)] = found;
  });
  std::partial_sum(start.begin(), start.end(), start.begin());
  for_each_chunk(count, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    std::uint64_t* at = scratch + start[static_cast<std::size_t>(chunk)];
    for (std::int64_t i = begin; i < end; ++i)
      if (matters(i)) *at++ = pack(error(i), i);
  });
  std::uint64_t* const other = scratch + count;
  std::uint64_t* const sorted = sort(scratch, other, start.back());
  return {sorted, sorted == scratch ? other : scratch, start.back()};
}

// The sum of errors times their weights, which by_place gets: `count` values in the order of
// pixels, so that random writes stay within a small array. `positives` is the sum of all labels.
template <class Label>
double weigh(Sorted sorted, std::int64_t count, double positives, Label label, float* by_place) {
  std::vector<double> before(static_cast<std::size_t>(loss_chunks(sorted.count) + 1), 0);
  std::vector<double> sums(before.size(), 0);
  for_each_chunk(count, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    std::fill(by_place + begin, by_place + end, 0.0f);
  });
  for_each_chunk(sorted.count, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t k = begin; k < end; ++k) sum += label(index_of(sorted.errors[k]));
    before[static_cast<std::size_t>(chunk + 1)] = sum;
  });
  std::partial_sum(before.begin(), before.end(), before.begin());
  for_each_chunk(sorted.count, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double seen = before[static_cast<std::size_t>(chunk)], sum = 0;
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t i = index_of(sorted.errors[k]);
      const double t = label(i);
      const double g = lovasz_step(positives - seen, positives + static_cast<double>(k) - seen, t);
      seen += t;
      sum += static_cast<double>(error_of(sorted.errors[k])) * g;
      by_place[i] = static_cast<float>(g);
    }
    sums[static_cast<std::size_t>(chunk)] = sum;
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// One problem: returns its value and gives set(i, g) the weight of every error.
template <class Error, class Label, class Set>
double solve(std::int64_t count, double positives, std::uint64_t* scratch, Error error, Label label,
             Set set) {
  const Sorted sorted = sort_positive(count, scratch, error);
  float* weights = reinterpret_cast<float*>(sorted.free);
  const double value = weigh(sorted, count, positives, label, weights);
  for_each_chunk(count, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) set(i, weights[i]);
  });
  return value;
}

struct LovaszPass {
  const float* logits;
  In label;
  float* slope;
  std::uint64_t* scratch;
  const Lovasz& lovasz;
  int classes;

  double hinge(std::int64_t begin, std::int64_t end, double weight) const {
    const ElementLabel labels(label, lovasz.label);
    const std::int64_t count = (end - begin) * classes, base = begin * classes;
    std::vector<double> sums(static_cast<std::size_t>(loss_chunks(count)), 0);
    for_each_chunk(count, [&](std::int64_t chunk, std::int64_t from, std::int64_t to) {
      for (std::int64_t i = base + from; i < base + to; ++i)
        if (labels.counts(i))
          sums[static_cast<std::size_t>(chunk)] += static_cast<double>(labels[i]);
    });
    auto side = [&](std::int64_t i) { return 2 * labels[base + i] - 1; };
    auto error = [&](std::int64_t i) {
      return labels.counts(base + i) ? 1 - logits[base + i] * side(i) : 0.0f;
    };
    auto set = [&](std::int64_t i, float g) {
      slope[base + i] = static_cast<float>(-weight) * g * side(i);
    };
    return solve(
        count, std::accumulate(sums.begin(), sums.end(), 0.0), scratch, error,
        [&](std::int64_t i) { return static_cast<double>(labels[base + i]); }, set);
  }

  // Fills slope with probabilities and returns how many pixels each class has in [begin, end).
  std::vector<std::int64_t> probabilities(std::int64_t begin, std::int64_t end) const {
    const std::int64_t chunks = loss_chunks(end - begin);
    std::vector<std::int64_t> counts(static_cast<std::size_t>(chunks * classes), 0);
    const std::uint8_t* labels = label.as<std::uint8_t>();
    for_each_chunk(end - begin, [&](std::int64_t chunk, std::int64_t from, std::int64_t to) {
      for (std::int64_t i = begin + from; i < begin + to; ++i) {
        softmax(logits + i * classes, classes, slope + i * classes);
        const int t = class_of(labels[i], classes, lovasz.label);
        if (t >= 0) ++counts[static_cast<std::size_t>(chunk * classes + t)];
      }
    });
    std::vector<std::int64_t> totals(static_cast<std::size_t>(classes), 0);
    for (std::size_t i = 0; i < counts.size(); ++i)
      totals[i % static_cast<std::size_t>(classes)] += counts[i];
    return totals;
  }

  // The slope by a class's probability replaces it: nobody reads it again.
  double one_class(std::int64_t begin, std::int64_t end, int c, std::int64_t positives,
                   double weight) const {
    const std::uint8_t* labels = label.as<std::uint8_t>() + begin;
    float* p = slope + begin * classes + c;
    auto error = [&](std::int64_t i) {
      if (class_of(labels[i], classes, lovasz.label) < 0) return 0.0f;
      return labels[i] == c ? 1 - p[i * classes] : p[i * classes];
    };
    auto set = [&, rising = static_cast<float>(weight)](std::int64_t i, float g) {
      p[i * classes] = (labels[i] == c ? -rising : rising) * g;
    };
    return solve(
        end - begin, static_cast<double>(positives), scratch, error,
        [&](std::int64_t i) { return labels[i] == c ? 1.0 : 0.0; }, set);
  }

  double softmax_form(std::int64_t begin, std::int64_t end, double weight) const {
    const std::vector<std::int64_t> counts = probabilities(begin, end);
    const auto present = std::count_if(counts.begin(), counts.end(), [](auto n) { return n > 0; });
    double sum = 0;
    for (int c = 0; c < classes; ++c) {
      const std::int64_t positives = counts[static_cast<std::size_t>(c)];
      if (positives > 0)
        sum += one_class(begin, end, c, positives, weight / static_cast<double>(present));
      else
        for (std::int64_t i = begin; i < end; ++i) slope[i * classes + c] = 0;
    }
    return present > 0 ? sum / static_cast<double>(present) : 0;
  }
};

void forward(In logits, In label, Out slope, Out scratch, Out loss, const Lovasz& lovasz, Stream&) {
  require_f32(logits, "lovasz_forward");
  const Shape s = logits.shape();
  const std::int64_t problems = lovasz.per_image ? s.n : 1, pixels = s.pixels() / problems;
  const LovaszPass pass{logits.as<float>(),          label,  slope.as<float>(),
                        scratch.as<std::uint64_t>(), lovasz, static_cast<int>(s.c)};
  const double weight = lovasz.weight / static_cast<double>(problems);
  double value = 0;
  for (std::int64_t i = 0; i < problems; ++i)
    value += weight * (lovasz.label.form == LabelForm::elements
                           ? pass.hinge(i * pixels, (i + 1) * pixels, weight)
                           : pass.softmax_form(i * pixels, (i + 1) * pixels, weight));
  write_loss(loss, value);
}

}  // namespace

void fill_lovasz_kernels() { lovasz_forward.cpu = forward; }

}  // namespace fjord
