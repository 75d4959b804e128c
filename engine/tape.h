// The tape: a model function runs once on shapes and leaves steps; backward() leaves more of them.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/parameters.h"
#include "engine/tensor.h"
#include "kernels/conv_inference.h"
#include "kernels/kernel.h"

namespace fjord {

/// One kernel call, replayed by the plan. `reads` and `writes` give the tensors' lifetimes.
struct Step {
  const char* op = "";
  std::string path;
  std::vector<Slot*> reads, writes;
  std::function<void(Stream&)> run;
  std::string implementation = {};  // what a convolution's slot chose
  bool beside = false;              // a filter's gradient: nothing of backward waits for it
  bool again = false;               // makes what was not kept since it was made before
};

/// Training: batch statistics, gradients. Evaluation: running statistics, no gradients. Declaring:
/// as evaluation, for the sake of the parameters' names and shapes; no step is left.
enum class Mode : std::uint8_t { train, eval, declare };

/// What forward leaves for backward: all that it reads, or less, and backward makes the rest again
/// (engine/recompute.h).
enum class Activations : std::uint8_t { kept, recomputed };

struct TapeOptions {
  Backend backend = Backend::cpu;
  DType dtype = DType::f32;  // of activations and, where they differ from it, of filters' copies
  Mode mode = Mode::train;
  ConvMath math = ConvMath::exact;  // of f32 convolutions
  ConvAlgorithm algorithm = ConvAlgorithm::any;
  ConvTuning tuning = {};
  /// Nobody will ask for gradients, so normalisations are folded into filters, which are made ready
  /// once for all runs: Mode::eval alone.
  std::optional<FilterMemory> inference = {};
  std::uint64_t seed = 0;  // of what is drawn while training
  Activations activations = Activations::kept;
};

/// What a step computes in. Weights, statistics, gradients of parameters and losses are f32 always;
/// tf32 rounds the factors of convolutions, bf16 and fp16 are types of activations and filters; on
/// the CPU bf16 rounds the factors of Winograd's products alone.
enum class Precision : std::uint8_t { fp32, tf32, bf16, fp16 };

/// By the names that --precision takes; Error{usage} for any other.
Precision precision_of(std::string_view name);
std::string_view to_string(Precision precision);

/// How the plans of convolutions are chosen from now on: by a fixed rule, unless set.
void set_conv_tuning(ConvTuning tuning);

TapeOptions tape_options(Backend backend, Precision precision, Mode mode,
                         ConvAlgorithm algorithm = ConvAlgorithm::any);

/// A tensor that was given memory: a deferred one going forward, under its name, or any that is
/// made `again` going backward.
struct Pass {
  const Slot* made = nullptr;
  bool again = false;
};

/// A word of engine/ops.h as it was recorded, for readers that have no use for kernels (exporters).
/// Inputs are tensors, then parameters; null where absent. Tapes for inference leave only a part.
struct Word {
  std::string op, path;
  std::vector<const Slot*> inputs;
  const Slot* output = nullptr;
  std::map<std::string, double> attributes;

  int integer(const std::string& name) const { return static_cast<int>(attributes.at(name)); }
};

/// Logits of a node inside the network, n x h x w x classes, held against the label as well while
/// training: their loss counts `weight` times.
struct InnerLogits {
  Tensor logits;
  double weight = 1;
};

/// A slot of Kind::kept and the memory that it shares with those of other tapes.
struct KeptSlot {
  Slot* slot = nullptr;
  std::shared_ptr<Kept> kept;
};

/// What one recording left. A plan writes lifetimes and addresses into its slots, so each tape has
/// one plan.
struct Tape {
  Tape(Parameters& parameters, TapeOptions options) : parameters(parameters), options(options) {}
  Tape(const Tape&) = delete;

  Parameters& parameters;
  const TapeOptions options;
  std::deque<Slot> slots;
  std::vector<Step> steps;
  std::vector<Step> once;  // write kept slots; run before the steps when the weights have changed
  std::vector<KeptSlot> kept;
  std::vector<std::function<void()>> recipes;  // run in reverse by backward()
  std::size_t forward_steps = 0;               // set by backward()
  bool in_backward = false;
  std::vector<Pass> passes;     // printed with the plan
  double recomputed_share = 0;  // of the step's work, where activations are not kept
  std::vector<Word> words;
  std::vector<InnerLogits> inner_logits;
  std::map<std::string, Tensor> parameter_tensors;
};

/// Where a model is being recorded: a tape and a scope. The scope's path is the prefix of the
/// state_dict keys of the parameters created in it.
struct Net {
  Tape* tape = nullptr;
  std::string path;
  bool frozen = false;     // below here: evaluation mode, parameters without gradient
  bool runs_once = false;  // steps go to Tape::once
  bool aside = false;      // below here: parameters of training alone, which no model file has

  Net operator/(const std::string& name) const {
    Net net = *this;
    net.path += name + ".";
    return net;
  }
  Net operator/(int i) const { return *this / std::to_string(i); }
  Net freeze() const {
    Net net = *this;
    net.frozen = true;
    return net;
  }
  Net for_training_only() const {
    Net net = *this;
    net.aside = true;
    return net;
  }

  bool training() const { return tape->options.mode == Mode::train && !frozen; }
  /// Whether x can be computed for inference: no gradient passes through it.
  bool inferring(Tensor x) const { return tape->options.inference && !x.needs_grad(); }
  bool declaring() const { return tape->options.mode == Mode::declare; }

  /// A tensor that lives as long as steps touch it.
  Tensor tensor(Shape shape, std::string_view name = "", Kind kind = Kind::activation) const;
  Tensor tensor(Shape shape, DType dtype, std::string_view name, Kind kind) const;
  /// Of the type that statistics and losses have: f32, or f64 in the tests.
  Tensor exact_tensor(Shape shape, std::string_view name) const;
  /// Memory for the time of one step; absent where no bytes are wanted.
  Tensor scratch(std::size_t bytes) const;
  /// A tensor that lives for the whole plan: inputs, results.
  Tensor resident(Shape shape, DType dtype, std::string_view name) const;
  /// A tensor whose memory is somebody else's: whoever runs the plan sets its address.
  Tensor outside(Shape shape, DType dtype, std::string_view name) const;
  /// A tensor that follows from parameters alone, written by steps that are recorded once(). Tapes
  /// of the same parameters share it by its name and `format`.
  Tensor kept(Shape shape, DType dtype, std::string_view name, std::string_view format = "") const;
  /// x in another type: x itself, or a copy.
  Tensor converted(Tensor x, DType dtype) const;

  /// A trained parameter: its key is path + name. Filters are K x R x S x C, and on a tape of
  /// 16 bits read from their copy in that type.
  Tensor filter(std::string_view name, Shape shape, Init init) const;
  Tensor vector(std::string_view name, std::int64_t count, Init init) const;
  /// A filter's own values where it was read from its copy in 16 bits.
  Tensor unrounded(Tensor filter) const;
  /// BN's running statistics and batch counter.
  Tensor statistic(std::string_view name, std::int64_t count, Init init) const;
  Tensor counter(std::string_view name) const;

  /// Appends a kernel call. In, Out and InOut arguments are given by in(x), out(x), inout(x) and
  /// grad_sink(x); the kernel must have a function for the tape's backend, or recording throws.
  template <class... Args>
  void record(const Kernel<Args...>& kernel, std::type_identity_t<Args>... args) const;
  /// Appends a step made by hand, for kernels that are prepared ahead (convolutions).
  void record_step(Step step) const;
  /// Notes the word that is being recorded.
  void word(const char* op, std::initializer_list<Tensor> inputs, Tensor output,
            std::map<std::string, double> attributes = {}) const;
  /// Where steps go that read parameters and kept tensors alone, and write kept ones.
  Net once() const;

  /// Where x's gradient goes: the first writer stores, later ones add. Absent without needs_grad.
  /// Asked for in the order in which the kernel writes: arguments of a call have no order.
  Out grad_sink(Tensor x) const;
  /// The same for a kernel that reads dy and may overwrite it, value by value: where dx would be
  /// stored and nobody else reads dy, both are one tensor (on the CPU, where memory is short).
  Out grad_sink_in_place(Tensor x, Tensor dy) const;
  /// x's gradient, to be read by the recipe of the op that made x; absent when nobody wrote one.
  Tensor grad(Tensor x) const { return Tensor{x.slot->grad}; }
  /// Registers what records y's backward steps; skipped when y received no gradient.
  void on_backward(Tensor y, std::function<void()> recipe) const;
  /// Records the backward steps of everything recorded so far; once.
  void backward() const;

  /// x with memory of its own. Records a deferred tensor's pass once while going forward, for all
  /// consumers; going backward, the pass of one with at most two and no residual is recorded
  /// once more (cheaper than keeping it), and what any other left is still there.
  Tensor materialize(Tensor x) const;
};

inline In in(Tensor t) { return In{t.slot}; }
inline Out out(Tensor t) { return Out{t.slot}; }
inline InOut inout(Tensor t) { return InOut{t.slot}; }

/// The slot of a kernel's argument, and those of all that are there.
inline Slot* slot_of(const Buffer* buffer) {
  return static_cast<Slot*>(const_cast<Buffer*>(buffer));
}
std::vector<Slot*> slots_of(std::initializer_list<const Buffer*> buffers);
/// Where an absent tensor may be given: its memory or null.
inline void* data_of(Tensor t) { return t ? t.slot->data : nullptr; }

template <class... Args>
void Net::record(const Kernel<Args...>& kernel, std::type_identity_t<Args>... args) const {
  if (declaring()) return;
  kernel.require(tape->options.backend);
  Step step{kernel.name, path, {}, {}, nullptr};
  auto note = [&step](const auto& arg) {
    using Arg = std::decay_t<decltype(arg)>;
    if constexpr (std::is_same_v<Arg, In> || std::is_same_v<Arg, InOut>)
      if (arg) step.reads.push_back(slot_of(arg.buffer));
    if constexpr (std::is_same_v<Arg, Out> || std::is_same_v<Arg, InOut>)
      if (arg) step.writes.push_back(slot_of(arg.buffer));
  };
  (note(args), ...);
  // Copies of the arguments outlive the recording; the kernel itself is a global slot.
  step.run = [&kernel, ... kept = std::decay_t<Args>(args)](Stream& stream) {
    kernel(kept..., stream);
  };
  record_step(std::move(step));
}

}  // namespace fjord
