// Convolutions that are products, by cuBLASLt.
#include "kernels/cuda/cublas_library.h"

#include <bit>
#include <mutex>

#include "kernels/cuda/cublas_product.h"
#include "kernels/cuda/launch.h"

namespace fjord::cuda {

namespace {

constexpr int kSuggestions = 16;

// Null without a card: cuBLASLt plans for none that is only described.
cublasLtHandle_t handle() {
  // Never destroyed: at exit the driver may be gone before it.
  static const cublasLtHandle_t made = [] {
    cublasLtHandle_t handle = nullptr;
    int cards = 0;
    if (cudaGetDeviceCount(&cards) != cudaSuccess || cards == 0) return handle;
    check_cublas(cublas().Create(&handle), "cuBLASLt handle");
    return handle;
  }();
  return made;
}

template <class T>
T config(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t which) {
  T value{};
  check_cublas(
      cublas().MatmulAlgoConfigGetAttribute(&algorithm, which, &value, sizeof value, nullptr),
      "cuBLASLt algorithm");
  return value;
}

std::uint64_t numerics_of(const cublasLtMatmulAlgo_t& algorithm) {
  std::uint64_t flags = 0;
  check_cublas(
      cublas().MatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS, &flags,
                                         sizeof flags, nullptr),
      "cuBLASLt algorithm");
  return flags;
}

bool on_tensor_cores(const cublasLtMatmulAlgo_t& algorithm) {
  return (numerics_of(algorithm) & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK) != 0;
}

// Once more, since heuristics only prefer and choices come from a file.
bool allowed(const cublasLtMatmulHeuristicResult_t& found, const ConvProblem& problem) {
  if (found.state != CUBLAS_STATUS_SUCCESS || found.workspaceSize > kConvWorkspaceBytes)
    return false;
  const auto reduction = config<std::uint32_t>(found.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
  if (reduction != CUBLASLT_REDUCTION_SCHEME_NONE &&
      reduction != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
    return false;
  if ((numerics_of(found.algo) & CUBLASLT_NUMERICAL_IMPL_FLAGS_ACCUMULATOR_32F) == 0) return false;
  const bool exact = problem.dtype == DType::f32 && problem.math != ConvMath::tf32;
  return !exact || !on_tensor_cores(found.algo);
}

std::string name_of(const cublasLtMatmulAlgo_t& algorithm) {
  return fmt::format("cuBLASLt {} tile {} stages {} split {}{}",
                     config<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID),
                     config<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID),
                     config<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                     config<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
                     on_tensor_cores(algorithm) ? " tensor-core" : "");
}

class ProductPlan : public ConvPlan {
 public:
  ProductPlan(const ConvProduct& product, std::shared_ptr<const CublasProduct> described,
              const cublasLtMatmulHeuristicResult_t& found, bool add)
      : product_(product), described_(std::move(described)), algorithm_(found.algo), add_(add) {
    engine = name_of(algorithm_);
    tensor_cores = on_tensor_cores(algorithm_);
    workspace_bytes = found.workspaceSize;
  }

  void run(const ConvOperands& operands, Stream& stream) const override {
    const float alpha = 1, beta = add_ ? 1 : 0;
    const CublasProduct& d = *described_;
    check_cublas(cublas().Matmul(handle(), d.operation.get(), &alpha, product_.a_of(operands),
                                 d.a.get(), product_.b_of(operands), d.b.get(), &beta,
                                 operands.result, d.result.get(), operands.result, d.result.get(),
                                 &algorithm_, operands.workspace, workspace_bytes, native(stream)),
                 engine);
  }

 private:
  ConvProduct product_;
  std::shared_ptr<const CublasProduct> described_;
  cublasLtMatmulAlgo_t algorithm_;
  bool add_;
};

AlgorithmChoice choice_of(const cublasLtMatmulAlgo_t& algorithm) {
  return {cublas().GetVersion(), std::bit_cast<std::array<std::uint64_t, 8>>(algorithm)};
}

std::vector<ConvCandidate> suggestions(const ConvProblem& problem, const ConvProduct& product) {
  if (!handle()) return {};
  const auto described = std::make_shared<const CublasProduct>(problem, product);
  const CublasPreference preference = cublas_preference();
  std::array<cublasLtMatmulHeuristicResult_t, kSuggestions> found{};
  int count = 0;
  const cublasStatus_t status = cublas().MatmulAlgoGetHeuristic(
      handle(), described->operation.get(), described->a.get(), described->b.get(),
      described->result.get(), described->result.get(), preference.get(), kSuggestions,
      found.data(), &count);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  check_cublas(status, "cuBLASLt suggestions");
  std::vector<ConvCandidate> plans;
  for (int i = 0; i < count; ++i) {
    const auto& one = found[static_cast<std::size_t>(i)];
    if (allowed(one, problem))
      plans.push_back(
          {std::make_shared<const ProductPlan>(product, described, one, problem.epilogue.add),
           choice_of(one.algo)});
  }
  return plans;
}

std::shared_ptr<const ConvPlan> plan_of(const ConvProblem& problem, const ConvProduct& product,
                                        const AlgorithmChoice& choice) {
  if (choice.version != cublas().GetVersion() || !handle()) return nullptr;
  const auto described = std::make_shared<const CublasProduct>(problem, product);
  cublasLtMatmulHeuristicResult_t checked{};
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(choice.words);
  const cublasStatus_t status = cublas().MatmulAlgoCheck(
      handle(), described->operation.get(), described->a.get(), described->b.get(),
      described->result.get(), described->result.get(), &algorithm, &checked);
  if (status != CUBLAS_STATUS_SUCCESS) return nullptr;
  checked.algo = algorithm;  // the check never writes it
  checked.state = status;
  if (!allowed(checked, problem)) return nullptr;
  return std::make_shared<const ProductPlan>(product, described, checked, problem.epilogue.add);
}

// What `ask` finds; nothing where cuBLASLt fails, which is said once: cuDNN has plans for all that
// this one would be faster at.
template <class Ask>
auto or_without(const Ask& ask) -> decltype(ask()) {
  try {
    return ask();
  } catch (const Error& error) {
    static std::once_flag said;
    std::call_once(said, [&] { fmt::print(stderr, "warning: {} - done without\n", error.what()); });
    return {};
  }
}

}  // namespace

std::vector<ConvCandidate> product_candidates(const ConvProblem& problem) {
  const std::optional<ConvProduct> product = product_of(problem);
  if (!product) return {};
  return or_without([&] { return suggestions(problem, *product); });
}

std::shared_ptr<const ConvPlan> product_plan(const ConvProblem& problem,
                                             const AlgorithmChoice& choice) {
  const std::optional<ConvProduct> product = product_of(problem);
  if (!product) return nullptr;
  return or_without([&] { return plan_of(problem, *product, choice); });
}

}  // namespace fjord::cuda
