// Recording: slots, parameters, gradients, and the passes of deferred tensors.
#include "engine/tape.h"

#include "engine/recompute.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/spatial.h"

namespace fjord {

namespace {

ConvTuning conv_tuning;

Tensor new_slot(Tape& tape, Shape shape, DType dtype, std::string name, Kind kind) {
  check(shape.n > 0 && shape.h > 0 && shape.w > 0 && shape.c > 0, name,
        "a tensor of {} has no values", to_string(shape));
  Slot& slot = tape.slots.emplace_back();
  slot.name = std::move(name);
  slot.shape = shape;
  slot.dtype = dtype;
  slot.kind = kind;
  return Tensor{&slot};
}

Tensor parameter_tensor(const Net& net, std::string_view name, Shape shape, bool filter, Role role,
                        Init init) {
  const std::string key = net.path + std::string(name);
  Parameter& parameter = net.tape->parameters.get(key, shape, filter, role, init);
  parameter.training_only = net.aside;
  Tensor& tensor = net.tape->parameter_tensors[key];
  if (tensor) return tensor;
  const bool copied = filter && size_of(net.tape->options.dtype) == 2;
  const DType dtype = role == Role::counter ? DType::i64
                      : copied              ? net.tape->options.dtype
                                            : net.tape->parameters.dtype;
  tensor = new_slot(*net.tape, shape, dtype, key, Kind::parameter);
  tensor.slot->needs_grad = role == Role::weight && net.training();
  tensor.slot->parameter = &parameter;
  return tensor;
}

// One pass that gives a deferred tensor its values, in y.
void record_pass(const Net& net, Tensor x, Tensor y) {
  const Deferred& d = *x.slot->deferred;
  if (d.form == Deferred::Form::normalized) {
    Tensor residual = d.residual ? net.materialize(d.residual) : Tensor{};
    net.record(batch_norm_apply, in(d.raw), in(d.scale), in(d.shift), in(residual), out(y), d.act);
  } else {
    Tensor low = net.materialize(d.low);
    Tensor skip = d.skip ? net.materialize(d.skip) : Tensor{};
    net.record(upsample_concat_forward, in(low), in(skip), out(y));
  }
}

}  // namespace

Precision precision_of(std::string_view name) {
  for (const Precision precision :
       {Precision::fp32, Precision::tf32, Precision::bf16, Precision::fp16})
    if (name == to_string(precision)) return precision;
  throw Error(ExitCode::usage, "precision", printable(name), "there is no such precision",
              "use fp32, tf32, bf16 or fp16");
}

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      return "fp16";
  }
  return "unknown";
}

void set_conv_tuning(ConvTuning tuning) { conv_tuning = std::move(tuning); }

TapeOptions tape_options(Backend backend, Precision precision, Mode mode, ConvAlgorithm algorithm) {
  TapeOptions options{
      .backend = backend, .mode = mode, .algorithm = algorithm, .tuning = conv_tuning};
  if (precision == Precision::bf16 && backend == Backend::cpu) options.math = ConvMath::bf16;
  if (precision == Precision::bf16 && backend != Backend::cpu) options.dtype = DType::bf16;
  if (precision == Precision::fp16) options.dtype = DType::f16;
  if (precision == Precision::tf32) options.math = ConvMath::tf32;
  return options;
}

Tensor Net::tensor(Shape shape, std::string_view name, Kind kind) const {
  return tensor(shape, tape->options.dtype, name, kind);
}

Tensor Net::tensor(Shape shape, DType dtype, std::string_view name, Kind kind) const {
  return new_slot(*tape, shape, dtype, path + std::string(name), kind);
}

Tensor Net::resident(Shape shape, DType dtype, std::string_view name) const {
  return tensor(shape, dtype, name, Kind::resident);
}

Tensor Net::scratch(std::size_t bytes) const {
  if (bytes == 0) return {};
  return tensor({1, 1, 1, static_cast<std::int64_t>(bytes)}, DType::u8, "scratch", Kind::scratch);
}

std::vector<Slot*> slots_of(std::initializer_list<const Buffer*> buffers) {
  std::vector<Slot*> slots;
  for (const Buffer* buffer : buffers)
    if (buffer) slots.push_back(slot_of(buffer));
  return slots;
}

Tensor Net::exact_tensor(Shape shape, std::string_view name) const {
  return tensor(shape, tape->parameters.dtype, name, Kind::activation);
}

Tensor Net::outside(Shape shape, DType dtype, std::string_view name) const {
  return tensor(shape, dtype, name, Kind::outside);
}

Tensor Net::converted(Tensor x, DType dtype) const {
  if (x.dtype() == dtype) return x;
  Tensor y = new_slot(*tape, x.shape(), dtype, x.slot->name, Kind::activation);
  record(copy_forward, in(materialize(x)), out(y));
  return y;
}

Tensor Net::filter(std::string_view name, Shape shape, Init init) const {
  return parameter_tensor(*this, name, shape, true, Role::weight, init);
}

Tensor Net::vector(std::string_view name, std::int64_t count, Init init) const {
  return parameter_tensor(*this, name, {1, 1, 1, count}, false, Role::weight, init);
}

Tensor Net::statistic(std::string_view name, std::int64_t count, Init init) const {
  return parameter_tensor(*this, name, {1, 1, 1, count}, false, Role::statistic, init);
}

Tensor Net::unrounded(Tensor filter) const {
  if (filter.dtype() == tape->parameters.dtype) return filter;
  Tensor values =
      new_slot(*tape, filter.shape(), tape->parameters.dtype, filter.slot->name, Kind::parameter);
  values.slot->parameter = filter.slot->parameter;
  return values;
}

Tensor Net::kept(Shape shape, DType dtype, std::string_view name, std::string_view format) const {
  Tensor x = tensor(shape, dtype, name, Kind::kept);
  const std::string key = fmt::format("{} {}", x.slot->name, format);
  tape->kept.push_back({x.slot, tape->parameters.kept().get(key, x.slot->bytes())});
  return x;
}

Net Net::once() const {
  Net net = *this;
  net.runs_once = true;
  return net;
}

Tensor Net::counter(std::string_view name) const {
  return parameter_tensor(*this, name, {}, false, Role::counter, Init::zeros);
}

void Net::word(const char* op, std::initializer_list<Tensor> inputs, Tensor output,
               std::map<std::string, double> attributes) const {
  Word& word = tape->words.emplace_back(Word{op, path, {}, output.slot, std::move(attributes)});
  for (const Tensor input : inputs) word.inputs.push_back(input.slot);
}

void Net::record_step(Step step) const {
  if (!declaring()) (runs_once ? tape->once : tape->steps).push_back(std::move(step));
}

Out Net::grad_sink(Tensor x) const {
  if (!x || !x.needs_grad()) return {};
  if (x.slot->deferred) x.slot->deferred->sum_gradient = nullptr;  // somebody else writes now
  if (x.slot->grad) return Out{x.slot->grad, Write::add};
  const DType dtype = x.slot->parameter ? tape->parameters.dtype : x.dtype();
  Tensor dx = new_slot(*tape, x.shape(), dtype, x.slot->name + ".grad", Kind::gradient);
  dx.slot->parameter = x.slot->parameter;
  if (x.slot->parameter) x.slot->parameter->trained = true;
  x.slot->grad = dx.slot;
  return Out{dx.slot, Write::store};
}

Out Net::grad_sink_in_place(Tensor x, Tensor dy) const {
  const bool possible = x && x.needs_grad() && !x.slot->grad && !x.slot->parameter &&
                        dy.slot->shape == x.slot->shape && dy.slot->dtype == x.slot->dtype &&
                        dy.slot->kind == Kind::gradient && tape->options.backend == Backend::cpu;
  if (!possible) return grad_sink(x);
  x.slot->grad = dy.slot;
  return Out{dy.slot, Write::store};
}

void Net::on_backward(Tensor y, std::function<void()> recipe) const {
  if (!y.needs_grad()) return;
  tape->recipes.push_back([slot = y.slot, recipe = std::move(recipe)] {
    if (slot->grad) recipe();
  });
}

void Net::backward() const {
  check(!tape->in_backward, path, "backward is recorded already");
  check(!tape->options.inference, path, "a tape for inference has no backward");
  tape->forward_steps = tape->steps.size();
  tape->in_backward = true;
  for (auto recipe = tape->recipes.rbegin(); recipe != tape->recipes.rend(); ++recipe) (*recipe)();
  if (tape->options.activations == Activations::recomputed) recompute_activations(*tape);
}

Tensor Net::materialize(Tensor x) const {
  if (!x.slot->deferred) return x;
  Deferred& d = *x.slot->deferred;
  if (!tape->in_backward) ++d.uses;
  const bool again = tape->in_backward && !d.kept();
  if (d.materialized && (!again || d.made_again)) return d.materialized;
  if (!d.materialized)
    d.materialized = new_slot(*tape, x.shape(), x.dtype(), x.slot->name, Kind::activation);
  record_pass(*this, x, d.materialized);
  tape->passes.push_back({d.materialized.slot, again});
  if (again) d.made_again = tape->steps.back().again = true;
  return d.materialized;
}

}  // namespace fjord
