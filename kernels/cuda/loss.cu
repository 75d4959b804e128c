// Region and pixel losses on CUDA: one pass over logits and labels leaves every block's sums, one
// block makes the loss and its slopes of them, one pass writes the gradient.
#include "kernels/loss.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loss_classes.h"
#include "kernels/cuda/loss_elements.h"

namespace fjord::cuda {

std::vector<double> table_values(const LossTerms& terms, Shape logits) {
  const auto classes = static_cast<std::size_t>(logits.c);
  std::vector<double> values;
  const auto add = [&](const std::vector<double>& given, double otherwise) {
    for (std::size_t c = 0; c < classes; ++c)
      values.push_back(given.empty() ? otherwise : given[c]);
  };
  for (const RegionLoss& loss : terms.regions) {
    values.insert(values.end(), {loss.weight, loss.gamma, loss.alpha, loss.beta, loss.smooth,
                                 loss.log_loss ? -loss.eps : loss.eps});
    add(loss.share, 0);
  }
  for (const PixelLoss& loss : terms.pixels) {
    double total = 0, divisor = static_cast<double>(logits.count());
    for (std::size_t c = 0; c < classes; ++c)
      total += loss.class_weights.empty() ? 1 : loss.class_weights[c];
    if (loss.kind == PixelLoss::Kind::softce)
      divisor = loss.class_weights.empty() ? static_cast<double>(logits.pixels()) : 0;
    values.insert(values.end(), {loss.weight, loss.sum ? 1 : divisor, loss.smooth,
                                 loss.smooth / static_cast<double>(classes), total});
    add(loss.positive, 1);
    add(loss.class_weights, 1);
  }
  return values;
}

std::size_t outside_bytes(const LossTerms& terms, Shape logits) {
  const std::size_t count = table_values(terms, logits).size();
  return count <= LossTable::kInside ? 0 : count * sizeof(double);
}

namespace {

// A table's values on their way to the workspace, which no copy from the host's memory may fill
// while a graph is captured.
struct TablePiece {
  int count;
  double values[LossTable::kInside];
};

__global__ void fill_table(TablePiece piece, double* to) {
  for (int i = static_cast<int>(threadIdx.x); i < piece.count; i += static_cast<int>(blockDim.x))
    to[i] = piece.values[i];
}

void check_limits(const LossTerms& terms, Shape logits) {
  if (logits.c > kMostClasses || terms.pixels.size() > kMostPixelLosses)
    throw Error(ExitCode::usage, "loss",
                fmt::format("--loss with {} sums over pixels, on {} channels", terms.pixels.size(),
                            logits.c),
                fmt::format("CUDA takes at most {} losses such as bce and softce at once, and {} "
                            "channels",
                            kMostPixelLosses, kMostClasses),
                "use fewer terms in --loss, or --device cpu");
}

}  // namespace

LossTable make_table(const LossTerms& terms, Shape logits, double* outside, Stream& stream) {
  LossTable table{.classes = static_cast<int>(logits.c),
                  .regions = static_cast<int>(terms.regions.size()),
                  .pixels = static_cast<int>(terms.pixels.size())};
  const std::vector<double> values = table_values(terms, logits);
  if (values.size() <= LossTable::kInside) {
    std::copy(values.begin(), values.end(), table.inside);
    return table;
  }
  for (std::size_t at = 0; at < values.size(); at += LossTable::kInside) {
    const std::size_t count = std::min<std::size_t>(LossTable::kInside, values.size() - at);
    TablePiece piece{static_cast<int>(count), {}};
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(at), count, piece.values);
    launch(fill_table, 1, kThreads, 0, stream, piece, outside + at);
  }
  table.outside = outside;
  return table;
}

namespace {

// --- from sums to the loss and its slopes ---

// Sums stand one kind after the other: three per class, two per pixel loss; of each kind one of
// every block.
int sum_kinds(int classes, int pixels) { return 3 * classes + 2 * pixels; }

// Blocks of a pass that leaves sums: of few classes enough for any card, of many so few that the
// last block has not much to add. A number of the shape alone.
unsigned sum_blocks(std::int64_t tiles, int kinds) {
  const std::int64_t most = std::clamp<std::int64_t>(200'000 / kinds, 1, 1024);
  return static_cast<unsigned>(std::clamp<std::int64_t>(tiles, 1, most));
}

// The sum of each kind over the blocks, by one warp each, in a fixed order.
__device__ void fold_blocks(const double* partial, int blocks, int kinds, double* totals) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int kind = warp; kind < kinds; kind += kThreads / 32) {
    double sum = 0;
    for (int b = lane; b < blocks; b += 32) sum += partial[std::int64_t{kind} * blocks + b];
    for (int m = 16; m > 0; m /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, m);
    if (lane == 0) totals[kind] = sum;
  }
}

struct LossOut {
  double* slopes;
  float* loss;
  bool add;
};

// One block, a thread for each class.
__global__ void __launch_bounds__(kThreads)
    finish_loss(const double* partial, int blocks, LossTable table, LossOut out) {
  const int classes = table.classes, c = static_cast<int>(threadIdx.x);
  auto* const totals = dynamic_shared<double>();
  double* const values = totals + table.sums();
  fold_blocks(partial, blocks, table.sums(), totals);
  __syncthreads();
  RegionSums sums;
  if (c < classes) sums = {totals[3 * c], totals[3 * c + 1], totals[3 * c + 2]};
  const bool present = c < classes && sums.t > 0;
  double by_p = 0, by_d = 0, loss = 0;
  for (int r = 0; r < table.regions; ++r) {
    RegionValue region;
    if (present) region = table.tversky(r)(sums);
    const double share = present ? table.share(r, c) : 0;
    if (c < classes) values[c] = present ? share * region.value : 0;
    __syncthreads();
    double mean = 0;
    for (int k = 0; k < classes; ++k) mean += values[k];
    const RegionPower power = table.power(r);
    const double outer = power.slope(mean);
    loss += power.value(mean);
    by_p += present ? outer * share * region.dp : 0;
    by_d += present ? outer * share * region.dd : 0;
    __syncthreads();
  }
  if (c < classes) {
    out.slopes[2 * c] = by_p;
    out.slopes[2 * c + 1] = by_d;
  }
  if (c != 0) return;
  for (int k = 0; k < table.pixels; ++k) {
    const PixelScalars pixel = table.pixel(k);
    const double* sum = totals + 3 * classes + 2 * k;
    const double factor = pixel_factor(pixel.weight, pixel.divisor > 0 ? pixel.divisor : sum[1]);
    out.slopes[2 * classes + k] = factor;
    loss += factor * sum[0];
  }
  *out.loss = static_cast<float>(out.add ? loss + static_cast<double>(*out.loss) : loss);
}

// --- choice of a kernel ---

template <class T, class Label>
Elements<T, Label> elements_of(In logits, In label, const LabelRule& rule, int active) {
  return {logits.as<T>(),
          label.as<Label>(),
          logits.shape().count(),
          static_cast<int>(logits.shape().c),
          active,
          ignored_label(rule)};
}

template <class T>
Pixels<T> pixels_of(In logits, In label, const LabelRule& rule) {
  return {logits.as<T>(), label.as<std::uint8_t>(), logits.shape().pixels(),
          pixel_layout(logits.shape().c), ignored_label(rule)};
}

// body.operator()<T, Label>() for the logits' type and a label of u8 or of that type.
template <class Body>
void with_label(In logits, In label, const Body& body) {
  with_type(logits.dtype(), [&]<class T>() {
    if (label.dtype() == DType::u8)
      body.template operator()<T, std::uint8_t>();
    else
      body.template operator()<T, T>();
  });
}

struct Partial {
  double* sums;
  unsigned blocks;
};

// The workspace of a call: the table's values, then the partial sums.
struct Workspace {
  std::size_t table_bytes;
  double* memory;

  Workspace(const LossTerms& terms, Shape logits, std::size_t sums, const Stream& stream)
      : table_bytes(outside_bytes(terms, logits)),
        memory(reinterpret_cast<double*>(workspace(stream, table_bytes + sums * sizeof(double)))) {}
  double* sums() const { return memory + table_bytes / sizeof(double); }
};

// Blocks, once the tiles are known.
std::int64_t element_tiles(std::int64_t count, int active, int width) {
  return divide_up(count, std::int64_t{active} * width);
}

void sum_of_elements(In logits, In label, const LabelRule& rule, const LossTable& table,
                     Partial partial, Stream& stream) {
  with_label(logits, label, [&]<class T, class Label>() {
    constexpr int W = Pack<T>::size;
    const int classes = table.classes;
    const auto from = elements_of<T, Label>(logits, label, rule, active_threads<W>(classes));
    const bool one = classes == 1;
    launch(one ? sum_elements<T, Label, W, true> : sum_elements<T, Label, W, false>, partial.blocks,
           kThreads, element_shared<W>(classes, table.pixels), stream, from, table, partial.sums);
  });
}

void sum_of_classes(In logits, In label, const LabelRule& rule, const LossTable& table,
                    Partial partial, Stream& stream) {
  with_type(logits.dtype(), [&]<class T>() {
    const auto from = pixels_of<T>(logits, label, rule);
    launch(table.classes % 4 == 0 ? sum_classes<T, true> : sum_classes<T, false>, partial.blocks,
           kThreads, class_shared(from.layout, table, false), stream, from, table, partial.sums);
  });
}

void forward(In logits, In label, Out slopes, Out loss, const LossTerms& terms, Stream& stream) {
  const Shape s = logits.shape();
  check_limits(terms, s);
  const bool elements = terms.label.form == LabelForm::elements;
  const int kinds = sum_kinds(static_cast<int>(s.c), static_cast<int>(terms.pixels.size()));
  const int width = logits.dtype() == DType::f32 ? 4 : 8;
  const int active = width == 4 ? active_threads<4>(static_cast<int>(s.c))
                                : active_threads<8>(static_cast<int>(s.c));
  const unsigned blocks = sum_blocks(
      elements ? element_tiles(s.count(), active, width) : pixel_layout(s.c).tiles(s.pixels()),
      kinds);
  const Workspace memory(terms, s, static_cast<std::size_t>(kinds) * blocks, stream);
  const LossTable table = make_table(terms, s, memory.memory, stream);
  (elements ? sum_of_elements : sum_of_classes)(logits, label, terms.label, table,
                                                {memory.sums(), blocks}, stream);
  launch(finish_loss, 1, kThreads, sizeof(double) * static_cast<std::size_t>(kinds + table.classes),
         stream, memory.sums(), static_cast<int>(blocks), table,
         LossOut{slopes.as<double>(), loss.as<float>(), loss.write == Write::add});
}

// --- gradient ---

template <class T>
Gradient<T> gradient_of(In slopes, In lovasz, In scale, Out dlogits) {
  return {slopes ? slopes.as<double>() : nullptr, lovasz ? lovasz.as<float>() : nullptr,
          scale ? scale.as<float>() : nullptr, dlogits.as<T>(), dlogits.write == Write::add};
}

template <class T, class Label, int W>
void launch_element_gradient(In logits, In label, const LabelRule& rule, const LossTable& table,
                             const Gradient<T>& to, Stream& stream) {
  const int classes = table.classes;
  const auto from = elements_of<T, Label>(logits, label, rule, active_threads<W>(classes));
  const auto floats =
      static_cast<std::size_t>(table.slopes() + PixelWeights::size(classes, table.pixels));
  const unsigned blocks = sum_blocks(element_tiles(from.count, from.active, W), 1);
  const bool one = classes == 1;
  launch(one ? element_gradient<T, Label, W, true> : element_gradient<T, Label, W, false>, blocks,
         kThreads, floats * sizeof(float), stream, from, table, to);
}

template <class T>
void launch_class_gradient(In logits, In label, const LabelRule& rule, const LossTable& table,
                           const Gradient<T>& to, Stream& stream) {
  const auto from = pixels_of<T>(logits, label, rule);
  const unsigned blocks = sum_blocks(from.layout.tiles(from.count), 1);
  launch(table.classes % 4 == 0 ? class_gradient<T, true> : class_gradient<T, false>, blocks,
         kThreads, class_shared(from.layout, table, true), stream, from, table, to);
}

void backward(In logits, In label, In slopes, In lovasz, In scale, Out dlogits,
              const LossTerms& terms, Stream& stream) {
  const Shape s = logits.shape();
  check_limits(terms, s);
  const Workspace memory(terms, s, 0, stream);
  const LossTable table = make_table(terms, s, memory.memory, stream);
  if (terms.label.form == LabelForm::classes)
    return with_type(logits.dtype(), [&]<class T>() {
      launch_class_gradient<T>(logits, label, terms.label, table,
                               gradient_of<T>(slopes, lovasz, scale, dlogits), stream);
    });
  with_label(logits, label, [&]<class T, class Label>() {
    // Four at a time beside a slope of floats, so that each of its accesses is 16 bytes side by
    // side.
    const auto to = gradient_of<T>(slopes, lovasz, scale, dlogits);
    (lovasz ? launch_element_gradient<T, Label, 4>
            : launch_element_gradient<T, Label, Pack<T>::size>)(logits, label, terms.label, table,
                                                                to, stream);
  });
}

}  // namespace

void fill_loss() {
  loss_forward.cuda = forward;
  loss_backward.cuda = backward;
}

}  // namespace fjord::cuda
