// The Lovasz losses on CUDA (Berman, Triki, Blaschko 2018): every error is sorted once, several
// classes or images together, then a scan over the labels in that order gives each error's weight.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/lovasz_keys.h"
#include "kernels/cuda/lovasz_weights.h"
#include "kernels/cuda/sort.h"
#include "kernels/loss.h"

namespace fjord::cuda {

namespace {

// --- groups ---

// Limits of the workspace: segments of a group, and blocks over its parts.
constexpr std::int64_t kMostSegments = 16 * 1024, kMostParts = 64 * 1024;

struct Groups {
  std::int64_t problems, segment, errors_at_once;
  int classes;  // segments of a problem

  Groups(Shape logits, const Lovasz& lovasz)
      : problems(lovasz.per_image ? logits.n : 1),
        segment(lovasz_problem(logits, lovasz)),
        errors_at_once(lovasz_errors(logits, lovasz)),
        classes(lovasz.label.form == LabelForm::classes ? static_cast<int>(logits.c) : 1) {}

  // body(group) for each in turn.
  template <class Body>
  void each(const Body& body) const {
    const int place_bits =
        std::max(1, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(segment - 1))));
    const std::int64_t by_bits = std::int64_t{1} << (32 - place_bits);
    const std::int64_t most = std::min({errors_at_once / segment, by_bits, kMostSegments});
    const std::int64_t together = std::max<std::int64_t>(1, most / classes);
    const int classes_together = static_cast<int>(std::min<std::int64_t>(classes, most));
    for (std::int64_t p = 0; p < problems; p += together)
      for (int c = 0; c < classes; c += classes_together)
        body(LovaszGroup{p, std::min(together, problems - p), c,
                         std::min(classes_together, classes - c), segment, place_bits});
  }
};

Parts parts_of(const LovaszGroup& group) {
  const std::int64_t most = std::max<std::int64_t>(1, kMostParts / group.segments());
  const std::int64_t steps = divide_up(divide_up(group.segment, most), kStep);
  return {static_cast<int>(divide_up(group.segment, steps * kStep)), steps * kStep};
}

// The workspace of a call.
struct Workspace {
  double *total, *labels, *values;
  Segment* segments;
  unsigned* found;

  explicit Workspace(const Stream& stream) {
    constexpr std::size_t bytes = sizeof(double) * (2 + 2 * kMostParts) +
                                  (sizeof(Segment) + sizeof(unsigned)) * kMostSegments;
    total = reinterpret_cast<double*>(workspace(stream, bytes));
    labels = total + 2;
    values = labels + kMostParts;
    segments = reinterpret_cast<Segment*>(values + kMostParts);
    found = reinterpret_cast<unsigned*>(segments + kMostSegments);
  }
};

struct Call {
  In logits, label;
  Out slope, scratch, loss;
  const Lovasz& lovasz;
  Groups groups;
  Workspace memory;
  Stream& stream;

  bool elements() const { return lovasz.label.form == LabelForm::elements; }
  int channels() const { return static_cast<int>(logits.shape().c); }
  int ignored() const { return ignored_label(lovasz.label); }

  std::uint64_t* sort(const LovaszGroup& group) const {
    auto* const keys = scratch.as<std::uint64_t>();
    std::uint64_t* const other = keys + groups.errors_at_once;
    std::uint64_t* const temporary = other + groups.errors_at_once;
    const auto left = static_cast<std::size_t>(scratch.shape().count() - 2 * groups.errors_at_once);
    SortBuffers buffers{keys, other, group.errors(), temporary, left * sizeof(std::int64_t)};
    // First by error, then, stable, by segment.
    buffers.keys = sort_keys(buffers, {32, 63}, stream);
    buffers.other = buffers.keys == keys ? other : keys;
    const int bits = std::bit_width(static_cast<std::uint64_t>(group.segments() - 1));
    if (bits == 0) return buffers.keys;
    return sort_keys(buffers, {group.place_bits, group.place_bits + bits}, stream);
  }

  template <class Label>
  void weigh(const LovaszGroup& group, const std::uint64_t* keys, const Label* soft) const {
    const Parts parts = parts_of(group);
    const auto segments = static_cast<unsigned>(group.segments());
    const unsigned blocks = segments * static_cast<unsigned>(parts.parts);
    const SortedErrors<Label> sorted{group, parts, keys, soft, ignored()};
    constexpr std::size_t shared = kWarps * sizeof(double);
    launch(sum_labels<Label>, blocks, kThreads, shared, stream, sorted, memory.labels);
    launch(scan_parts, segments, kThreads, shared, stream, group, parts.parts,
           lovasz.weight / static_cast<double>(groups.problems),
           elements() ? nullptr : memory.found, channels(), memory.labels, memory.segments);
    launch(weigh_errors<Label>, blocks, kThreads, shared, stream, sorted, memory.labels,
           memory.segments, Slope{slope.as<float>(), elements() ? 0 : channels()}, memory.values);
    const bool first = group.first_problem == 0 && group.first_class == 0;
    const bool last = group.first_problem + group.problems == groups.problems &&
                      group.first_class + group.classes == groups.classes;
    launch(add_values, 1, kThreads, shared, stream, memory.values, static_cast<int>(blocks),
           Sum{memory.total, first, last ? loss.as<float>() : nullptr, loss.write == Write::add});
  }

  template <class T, class Label>
  void hinge(const LovaszGroup& group) const {
    launch(hinge_keys<T, Label>, blocks_for(group.errors()), kThreads, 0, stream, group,
           logits.as<T>(), label.as<Label>(), ignored(), scratch.as<std::uint64_t>());
    const bool soft = !std::is_same_v<Label, std::uint8_t>;
    weigh<Label>(group, sort(group), soft ? label.as<Label>() : nullptr);
  }

  template <class T>
  void softmax_form(const LovaszGroup& group) const {
    const int counted = static_cast<int>(group.problems) * channels();
    const unsigned each = blocks_for(divide_up(group.segment, 8));
    const unsigned few =
        std::max(1u, std::min(each, 1024u / static_cast<unsigned>(group.problems)));
    launch(clear_counts, blocks_for(counted), kThreads, 0, stream, memory.found, counted);
    launch(count_labels, few * static_cast<unsigned>(group.problems), kThreads,
           sizeof(unsigned) * static_cast<std::size_t>(channels()), stream, group,
           label.as<std::uint8_t>(), channels(), ignored(), static_cast<int>(few), memory.found);
    const PixelLayout layout = pixel_layout(channels());
    const std::int64_t tiles = layout.tiles(group.problems * group.segment) + 1;
    launch(channels() % 4 == 0 ? class_keys<T, true> : class_keys<T, false>,
           static_cast<unsigned>(std::min<std::int64_t>(tiles, 2048)), kThreads,
           sizeof(float) * static_cast<std::size_t>(layout.floats()), stream, group, logits.as<T>(),
           label.as<std::uint8_t>(), layout, ignored(), scratch.as<std::uint64_t>());
    weigh<std::uint8_t>(group, sort(group), nullptr);
  }
};

void forward(In logits, In label, Out slope, Out scratch, Out loss, const Lovasz& lovasz,
             Stream& stream) {
  if (lovasz.label.form == LabelForm::classes && logits.shape().c > kMostClasses)
    throw Error(ExitCode::usage, "loss",
                fmt::format("--loss lovasz on {} classes", logits.shape().c),
                fmt::format("CUDA takes at most {} classes", kMostClasses), "use --device cpu");
  const Call call{logits,
                  label,
                  slope,
                  scratch,
                  loss,
                  lovasz,
                  Groups(logits.shape(), lovasz),
                  Workspace(stream),
                  stream};
  with_type(logits.dtype(), [&]<class T>() {
    call.groups.each([&](const LovaszGroup& group) {
      if (!call.elements())
        call.softmax_form<T>(group);
      else if (label.dtype() == DType::u8)
        call.hinge<T, std::uint8_t>(group);
      else
        call.hinge<T, T>(group);
    });
  });
}

}  // namespace

void fill_lovasz() { lovasz_forward.cuda = forward; }

}  // namespace fjord::cuda
