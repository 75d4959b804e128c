// One pass of forward steps, each beginning from zeros, so that a batch's own statistics are read.
#include "engine/running_statistics.h"

#include <vector>

namespace fjord {

namespace {

/// The flat statistics at the host, and which of them follow the batches.
struct Statistics {
  explicit Statistics(Parameters& parameters)
      : parameters(parameters),
        values(static_cast<std::size_t>(parameters.statistics.shape.count())),
        sums(values.size()) {
    check(parameters.dtype == DType::f32, "running statistics", "they are made anew in f32 only");
    for (const Parameter& p : parameters.all())
      if (p.role == Role::statistic && p.momentum > 0) followers.push_back(&p);
  }

  /// Calls f(momentum, index) for every value that follows.
  template <class F>
  void each(F f) {
    for (const Parameter* p : followers)
      for (std::int64_t i = p->offset; i < p->offset + p->count(); ++i)
        f(p->momentum, static_cast<std::size_t>(i));
  }

  void read() {
    Stream in_order = stream(parameters.backend());
    const Buffer& flat = parameters.statistics;
    device(parameters.backend()).download(values.data(), flat.data, flat.bytes(), in_order);
  }
  void write() {
    Stream in_order = stream(parameters.backend());
    const Buffer& flat = parameters.statistics;
    device(parameters.backend()).upload(flat.data, values.data(), flat.bytes(), in_order);
  }

  Parameters& parameters;
  std::vector<const Parameter*> followers;
  std::vector<float> values;
  std::vector<double> sums;
};

}  // namespace

void remake_running_statistics(TrainingStep& step, Parameters& parameters, BatchSource& train,
                               int epoch) {
  Statistics statistics(parameters);
  statistics.read();
  train.start(epoch, 0);
  for (std::int64_t batch = 0; batch < train.batches(); ++batch) {
    statistics.each([&](double, std::size_t i) { statistics.values[i] = 0; });
    statistics.write();
    step.fill(train);
    step.forward();
    statistics.read();
    statistics.each([&](double momentum, std::size_t i) {
      statistics.sums[i] += static_cast<double>(statistics.values[i]) / momentum;
    });
  }
  const auto batches = static_cast<double>(train.batches());
  statistics.each([&](double, std::size_t i) {
    statistics.values[i] = static_cast<float>(statistics.sums[i] / batches);
  });
  statistics.write();
  for (Parameter& p : parameters.all())
    if (p.role == Role::counter && p.momentum > 0) parameters.set_count(p, train.batches());
  parameters.changed();
}

}  // namespace fjord
