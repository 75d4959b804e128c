// Losses by formula on CUDA. One thread a pixel, its logits read from memory as often as the
// formula asks; every type and formula in one kernel a pass: they are rare, and code for each would
// not be.
#include "kernels/formula_loss.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loss_pixels.h"
#include "kernels/cuda/loss_table.h"

namespace fjord::cuda {
namespace {

// A tensor of any type, as doubles.
struct AnyFloats {
  const void* data;
  DType type;

  __device__ double at(std::int64_t i) const {
    switch (type) {
      case DType::u8:
        return static_cast<const std::uint8_t*>(data)[i];
      case DType::bf16:
        return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
      case DType::f16:
        return to_float(static_cast<const __half*>(data)[i]);
      default:
        return static_cast<const float*>(data)[i];
    }
  }
};

struct FormulaPixel {
  AnyFloats logits;
  std::int64_t first;
  int classes, label;
  double truth;
  const double* weights;  // of the classes, or of the logit's channel; none: 1

  __device__ double z(int c) const { return logits.at(first + c); }
  __device__ double y(int c) const { return classes == 1 ? truth : c == label ? 1 : 0; }
  __device__ double weight(int c) const { return weights ? weights[c] : 1; }
  __device__ double own_weight() const { return weight(classes == 1 ? 0 : label); }
};

// A kernel's argument; shared memory holds what the pixels read.
struct FormulaWeights {
  int count = 0;
  double values[kMostClasses] = {};
};

// Every thread of the block calls it; none where there are none.
__device__ const double* load_weights(const FormulaWeights& weights, double* shared) {
  if (weights.count == 0) return nullptr;
  for (int i = static_cast<int>(threadIdx.x); i < weights.count; i += kThreads)
    shared[i] = weights.values[i];
  __syncthreads();
  return shared;
}

// What both passes read.
struct FormulaInput {
  AnyFloats logits, label;
  std::int64_t count;
  int classes, channels, ignored;
  LossFormula formula;

  // False where the label is ignored.
  __device__ bool read(std::int64_t i, const double* weights, FormulaPixel& pixel) const {
    pixel = {logits, i * classes, classes, 0, label.at(i), weights};
    if (weights && classes == 1) pixel.weights += i % channels;
    if (ignored != INT_MIN && pixel.truth == ignored) return false;
    if (label.type != DType::u8) return true;
    pixel.label = static_cast<int>(pixel.truth);
    return pixel.label < (classes > 1 ? classes : 2);
  }
};

FormulaInput input_of(In logits, In label, const FormulaLoss& loss) {
  const Shape s = logits.shape();
  const bool elements = loss.label.form == LabelForm::elements;
  return {{logits.as<void>(), logits.dtype()},
          {label.as<void>(), label.dtype()},
          elements ? s.count() : s.pixels(),
          elements ? 1 : static_cast<int>(s.c),
          static_cast<int>(s.c),
          ignored_label(loss.label),
          loss.formula};
}

FormulaWeights weights_of(const FormulaLoss& loss) {
  FormulaWeights weights{static_cast<int>(loss.class_weights.size())};
  std::copy(loss.class_weights.begin(), loss.class_weights.end(), weights.values);
  return weights;
}

// The block's or the grid's sums of four doubles a thread, in thread 0.
__device__ FormulaSums sum_all(const FormulaSums& own, double* shared) {
  FormulaSums all;
  all.value = block_sum(own.value, shared);
  all.factor = block_sum(own.factor, shared);
  all.ones = block_sum(own.ones, shared);
  all.zeros = block_sum(own.zeros, shared);
  return all;
}

__device__ void add_to(FormulaSums& sums, const FormulaSums& more) {
  sums.value += more.value;
  sums.factor += more.factor;
  sums.ones += more.ones;
  sums.zeros += more.zeros;
}

struct AddValue {
  const FormulaPixel& pixel;
  FormulaSums& sums;

  template <class Formula>
  __device__ void operator()(const Formula& formula) const {
    const FormulaPart part = formula.value(pixel);
    add_to(sums,
           {part.value, part.factor, pixel.truth == 1 ? 1.0 : 0.0, pixel.truth == 0 ? 1.0 : 0.0});
  }
};

__global__ void __launch_bounds__(kThreads, 2)
    formula_sums(FormulaInput input, FormulaWeights weights, FormulaSums* partial) {
  auto* const shared = dynamic_shared<double>();
  const double* const by_class = load_weights(weights, shared + kThreads / 32);
  FormulaSums sums;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < input.count;
       i += step) {
    FormulaPixel pixel;
    if (input.read(i, by_class, pixel)) with_formula(input.formula, AddValue{pixel, sums});
  }
  sums = sum_all(sums, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sums;
}

// One block.
__global__ void __launch_bounds__(kThreads)
    finish_formula(const FormulaSums* partial, int blocks, LossFormula formula, FormulaMean mean,
                   double* slopes, float* loss, bool add) {
  auto* const shared = dynamic_shared<double>();
  FormulaSums sums;
  for (int i = static_cast<int>(threadIdx.x); i < blocks; i += kThreads) add_to(sums, partial[i]);
  sums = sum_all(sums, shared);
  if (threadIdx.x != 0) return;
  const double value = mean(formula, sums, slopes);
  *loss = static_cast<float>(add ? value + static_cast<double>(*loss) : value);
}

void forward(In logits, In label, Out slopes, Out loss, const FormulaLoss& of, Stream& stream) {
  const FormulaInput input = input_of(logits, label, of);
  const unsigned blocks = blocks_for(input.count);
  auto* const partial =
      reinterpret_cast<FormulaSums*>(workspace(stream, blocks * sizeof(FormulaSums)));
  constexpr std::size_t shared = sizeof(double) * kThreads / 32;
  launch(formula_sums, blocks, kThreads, shared + sizeof(double) * of.class_weights.size(), stream,
         input, weights_of(of), partial);
  launch(finish_formula, 1, kThreads, shared, stream, partial, static_cast<int>(blocks), of.formula,
         formula_mean(of, logits.shape()), slopes.as<double>(), loss.as<float>(),
         loss.write == Write::add);
}

// Where a pixel's derivatives go.
struct WriteGradient {
  void* dlogits;
  DType type;
  std::int64_t first;
  double by_value, by_factor;
  bool add;

  template <class T>
  __device__ void write(int c, double value) const {
    T* const at = static_cast<T*>(dlogits) + first + c;
    write_floats<1>(at, Floats<1>{static_cast<float>(value)}, add);
  }
  __device__ void operator()(int c, const FormulaPart& by) const {
    const double value = by_value * by.value + by_factor * by.factor;
    if (type == DType::bf16)
      write<__nv_bfloat16>(c, value);
    else if (type == DType::f16)
      write<__half>(c, value);
    else
      write<float>(c, value);
  }
};

struct AddGradient {
  const FormulaPixel& pixel;
  const WriteGradient& to;

  template <class Formula>
  __device__ void operator()(const Formula& formula) const {
    formula.gradient(pixel, to);
  }
};

__global__ void __launch_bounds__(kThreads, 2)
    formula_gradient(FormulaInput input, FormulaWeights weights, const double* slopes,
                     const float* scale, WriteGradient to) {
  const double* const by_class = load_weights(weights, dynamic_shared<double>());
  const double factor = scale ? static_cast<double>(*scale) : 1;
  to.by_value = factor * slopes[0];
  to.by_factor = factor * slopes[1];
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < input.count;
       i += step) {
    FormulaPixel pixel;
    to.first = i * input.classes;
    if (input.read(i, by_class, pixel))
      with_formula(input.formula, AddGradient{pixel, to});
    else
      for (int c = 0; c < input.classes; ++c) to(c, {});
  }
}

void backward(In logits, In label, In slopes, In scale, Out dlogits, const FormulaLoss& of,
              Stream& stream) {
  const FormulaInput input = input_of(logits, label, of);
  const WriteGradient to{dlogits.as<void>(), dlogits.dtype(), 0, 0, 0, dlogits.write == Write::add};
  launch(formula_gradient, blocks_for(input.count), kThreads,
         sizeof(double) * of.class_weights.size(), stream, input, weights_of(of),
         slopes.as<double>(), scale ? scale.as<float>() : nullptr, to);
}

}  // namespace

void fill_formula_loss() {
  formula_loss_forward.cuda = forward;
  formula_loss_backward.cuda = backward;
}

}  // namespace fjord::cuda
