// Region and pixel losses on CUDA: one pass over logits and labels leaves every block's sums, one
// block makes the loss and its slopes of them, one pass writes the gradient.
#include "kernels/loss.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loss_classes.h"
#include "kernels/cuda/loss_elements.h"
#include "kernels/cuda/loss_finish.h"

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
                                 loss.log_loss ? -loss.eps : loss.eps,
                                 static_cast<double>(loss.score), loss.log_cosh ? 1.0 : 0.0});
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
  if (const auto& loss = terms.focal) {
    values.insert(values.end(),
                  {loss->weight, loss->normalized ? 1.0 : 0.0, loss->sum ? 1.0 : 0.0});
    add(loss->share, 0);
  }
  return values;
}

int sum_kinds(const LossTerms& terms) {
  const auto counts = [](const RegionLoss& loss) {
    return loss.score != RegionScore::Kind::tversky;
  };
  const bool all = terms.focal || std::any_of(terms.regions.begin(), terms.regions.end(), counts);
  return all ? kAllKinds : kFewKinds;
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
                  .pixels = static_cast<int>(terms.pixels.size()),
                  .kinds = sum_kinds(terms),
                  .focal = terms.focal.has_value()};
  if (terms.focal) table.formula = focal_formula<float>(*terms.focal);
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

// Blocks of a pass that leaves sums: of few classes enough for any card, of many so few that the
// last block has not much to add. A number of the shape alone.
unsigned sum_blocks(std::int64_t tiles, int sums) {
  const std::int64_t most = std::clamp<std::int64_t>(200'000 / sums, 1, 1024);
  return static_cast<unsigned>(std::clamp<std::int64_t>(tiles, 1, most));
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
    const auto start = [&](auto kernel) {
      launch(kernel, partial.blocks, kThreads, element_shared<W>(classes, table.pixels), stream,
             from, table, partial.sums);
    };
    if (table.kinds == kAllKinds)
      start(classes == 1 ? sum_elements<T, Label, W, true, kAllKinds>
                         : sum_elements<T, Label, W, false, kAllKinds>);
    else
      start(classes == 1 ? sum_elements<T, Label, W, true, kFewKinds>
                         : sum_elements<T, Label, W, false, kFewKinds>);
  });
}

void sum_of_classes(In logits, In label, const LabelRule& rule, const LossTable& table,
                    Partial partial, Stream& stream) {
  with_type(logits.dtype(), [&]<class T>() {
    const auto from = pixels_of<T>(logits, label, rule);
    const auto start = [&](auto kernel) {
      launch(kernel, partial.blocks, kThreads, class_shared(from.layout, table, false), stream,
             from, table, partial.sums);
    };
    const bool direct = table.classes % 4 == 0;
    if (table.kinds == kAllKinds)
      start(direct ? sum_classes<T, true, kAllKinds> : sum_classes<T, false, kAllKinds>);
    else
      start(direct ? sum_classes<T, true, kFewKinds> : sum_classes<T, false, kFewKinds>);
  });
}

void forward(In logits, In label, Out slopes, Out loss, const LossTerms& terms, Stream& stream) {
  const Shape s = logits.shape();
  check_limits(terms, s);
  const bool elements = terms.label.form == LabelForm::elements;
  const int sums =
      sum_kinds(terms) * static_cast<int>(s.c) + 2 * static_cast<int>(terms.pixels.size());
  const int width = logits.dtype() == DType::f32 ? 4 : 8;
  const int active = width == 4 ? active_threads<4>(static_cast<int>(s.c))
                                : active_threads<8>(static_cast<int>(s.c));
  const unsigned blocks = sum_blocks(
      elements ? element_tiles(s.count(), active, width) : pixel_layout(s.c).tiles(s.pixels()),
      sums);
  const Workspace memory(terms, s, static_cast<std::size_t>(sums) * blocks, stream);
  const LossTable table = make_table(terms, s, memory.memory, stream);
  (elements ? sum_of_elements : sum_of_classes)(logits, label, terms.label, table,
                                                {memory.sums(), blocks}, stream);
  launch(finish_loss, 1, kThreads, sizeof(double) * static_cast<std::size_t>(sums + table.classes),
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
  const auto start = [&](auto kernel) {
    launch(kernel, blocks, kThreads, floats * sizeof(float), stream, from, table, to);
  };
  if (table.focal)
    start(classes == 1 ? element_gradient<T, Label, W, true, true>
                       : element_gradient<T, Label, W, false, true>);
  else
    start(classes == 1 ? element_gradient<T, Label, W, true, false>
                       : element_gradient<T, Label, W, false, false>);
}

template <class T>
void launch_class_gradient(In logits, In label, const LabelRule& rule, const LossTable& table,
                           const Gradient<T>& to, Stream& stream) {
  const auto from = pixels_of<T>(logits, label, rule);
  const unsigned blocks = sum_blocks(from.layout.tiles(from.count), 1);
  const auto start = [&](auto kernel) {
    launch(kernel, blocks, kThreads, class_shared(from.layout, table, true), stream, from, table,
           to);
  };
  const bool direct = table.classes % 4 == 0;
  if (table.focal)
    start(direct ? class_gradient<T, true, true> : class_gradient<T, false, true>);
  else
    start(direct ? class_gradient<T, true, false> : class_gradient<T, false, false>);
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
