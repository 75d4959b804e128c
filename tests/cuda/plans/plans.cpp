// cuDNN's plans for every convolution of the zoo on described cards, chosen by the product's own
// code. Nothing runs; no card and no driver is needed.
//
// FJORD_PLANS=table prints them, the tables of docs/gpu-plans.md; FJORD_PLANS=all walks every
// network on every card and precision.
#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv_split.h"
#include "kernels/cuda/cudnn_device.h"
#include "tests/cuda/plans/plan_table.h"
#include "tests/cuda/plans/zoo.h"

namespace fjord {

namespace {

struct Precision {
  const char* name;
  DType dtype;
  ConvMath math;
};

constexpr Precision kPrecisions[]{{"bf16", DType::bf16, ConvMath::exact},
                                  {"fp16", DType::f16, ConvMath::exact},
                                  {"tf32", DType::f32, ConvMath::tf32},
                                  {"fp32", DType::f32, ConvMath::exact}};

std::shared_ptr<const cuda::CudnnDevice> described(const std::string& card) {
  std::ifstream file(std::string(FJORD_PLANS_FOLDER) + "/" + card + ".json");
  return cuda::CudnnDevice::described({std::istreambuf_iterator<char>(file), {}});
}

/// One pass of one layer as the backend's slot prepares it; a fault is a failed check.
class Walk {
 public:
  Walk(std::string where, PlanTable& table) : where_(std::move(where)), table_(table) {}

  /// `beside`: bytes of scratch that are filters or results of ours, not the library's workspace.
  template <class Pass, class Slot, class Shape>
  void plan(const Slot& slot, const Shape& shape, const std::string& layer, PlanTable::Pass which,
            std::size_t beside = 0) {
    Pass pass;
    Stream stream{Backend::cuda};
    const std::string what = fmt::format("{} {} {}", where_, layer, slot.name);
    try {
      slot(shape, pass, stream);
    } catch (const Error& error) {
      FAIL_CHECK(what << ": " << error.what());
      return;
    }
    ++passes;
    largest = std::max(largest, pass.scratch_bytes);
    if (pass.implementation.find("runtime-compiled") != std::string::npos) ++runtime_compiled;
    if (pass.scratch_bytes > cuda::kConvWorkspaceBytes + beside)
      FAIL_CHECK(what << ": " << pass.scratch_bytes << " bytes of scratch");
    table_.add(layer, which, pass.implementation, pass.scratch_bytes);
  }

  void report() const {
    fmt::print(
        "{}: {} passes planned, {} of runtime-compiled engines, at most {:.1f} MiB of scratch\n",
        where_, passes, runtime_compiled, static_cast<double>(largest) / (1 << 20));
  }

  int passes = 0, runtime_compiled = 0;
  std::size_t largest = 0;

 private:
  std::string where_;
  PlanTable& table_;
};

void walk_zoo(Walk& walk, const Zoo& zoo, Precision precision) {
  for (ZooConv conv : zoo.convolutions) {
    conv.shape.dtype = precision.dtype;
    conv.shape.math = precision.math;
    walk.plan<ConvForward>(prepare_conv_forward, conv.shape, conv.layer, PlanTable::forward);
    walk.plan<ConvBackwardData>(prepare_conv_backward_data, conv.shape, conv.layer,
                                PlanTable::backward_data);
    const auto gradient =  // of 16 bits, before it is added to that of f32
        static_cast<std::size_t>(conv.shape.weight.count()) * size_of(precision.dtype) + 256;
    walk.plan<ConvBackwardFilter>(prepare_conv_backward_filter, conv.shape, conv.layer,
                                  PlanTable::backward_filter,
                                  precision.dtype == DType::f32 ? 0 : gradient);
  }
  for (ZooUpsampleConv conv : zoo.enlarging) {
    conv.shape.dtype = precision.dtype;
    conv.shape.math = precision.math;
    const std::size_t filters = cuda::Split(conv.shape).workspace_offset;
    walk.plan<UpsampleConvForward>(prepare_upsample_conv_forward, conv.shape, conv.layer,
                                   PlanTable::forward, filters);
    walk.plan<UpsampleConvBackwardData>(prepare_upsample_conv_backward_data, conv.shape, conv.layer,
                                        PlanTable::backward_data, filters);
    walk.plan<UpsampleConvBackwardFilter>(prepare_upsample_conv_backward_filter, conv.shape,
                                          conv.layer, PlanTable::backward_filter, filters);
  }
}

constexpr const char* kCards[]{"a100", "a10", "l40s", "h200"};

}  // namespace

TEST_CASE("every convolution of the zoo has a plan of at most 64 MiB on sm_80, 86, 89 and 90") {
  cuda::fill_conv();
  std::array<PlanTable, std::size(kPrecisions)> tables;
  for (const char* card : kCards) {
    cuda::CudnnDevice::set_current(described(card));
    for (std::size_t i = 0; i < tables.size(); ++i) {
      Walk walk(fmt::format("{} {}", card, kPrecisions[i].name), tables[i]);
      walk_zoo(walk, zoo(), kPrecisions[i]);
      CHECK(walk.passes >= 72);
      walk.report();
    }
  }
  if (!std::getenv("FJORD_PLANS")) return;
  for (std::size_t i = 0; i < tables.size(); ++i)
    fmt::print("\n{}\n\n{}", kPrecisions[i].name, tables[i].text());
}

// Every card and precision with FJORD_PLANS=all.
TEST_CASE("so has every convolution of the other encoders and architectures") {
  cuda::fill_conv();
  const char* asked = std::getenv("FJORD_PLANS");
  const bool all = asked && std::string_view(asked) == "all";
  const Zoo wider = wider_zoo(all);
  for (const char* card : kCards)
    for (const Precision& precision : kPrecisions) {
      if (!all && (std::string_view(card) != "h200" || precision.dtype != DType::bf16)) continue;
      cuda::CudnnDevice::set_current(described(card));
      PlanTable table;
      Walk walk(fmt::format("wider zoo, {} {}", card, precision.name), table);
      walk_zoo(walk, wider, precision);
      CHECK(walk.passes >= (all ? 2000 : 200));
      walk.report();
    }
  if (!all) fmt::print("SKIPPED: most of the wider zoo (FJORD_PLANS=all)\n");
}

}  // namespace fjord
