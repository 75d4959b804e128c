// Names, layouts and initial values of parameters.
#include "engine/parameters.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "kernels/error.h"
#include "kernels/threads.h"

using namespace fjord;

namespace {

const float* values(const Parameter& p) { return static_cast<const float*>(p.value.data); }

double variance(const Parameter& p) {
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < p.count(); ++i) {
    sum += values(p)[i];
    squares += double{values(p)[i]} * values(p)[i];
  }
  const double n = static_cast<double>(p.count());
  return squares / n - sum * sum / (n * n);
}

}  // namespace

TEST_CASE("filters go to files as K x C x R x S and come back") {
  Parameters parameters;
  Parameter& p = parameters.get("w", {2, 3, 3, 4}, true, Role::weight, Init::torch_default);
  parameters.allocate();
  parameters.initialize(1);
  const std::vector<float> file = parameters.file_values(p);
  // k = 1, c = 2, r = 0, s = 1
  CHECK(file[((1 * 4 + 2) * 3 + 0) * 3 + 1] == values(p)[((1 * 3 + 0) * 3 + 1) * 4 + 2]);
  const std::vector<float> before(values(p), values(p) + p.count());
  parameters.initialize(2);
  parameters.set_file_values(p, file);
  CHECK(std::equal(before.begin(), before.end(), values(p)));
  CHECK(p.file_shape() == std::vector<std::int64_t>{2, 4, 3, 3});
}

TEST_CASE("a counter has no values of files' order") {
  Parameters parameters;
  Parameter& p = parameters.get("batches", {}, false, Role::counter, Init::zeros);
  parameters.allocate();
  CHECK_THROWS_AS(parameters.file_values(p), Error);
  CHECK_THROWS_AS(parameters.set_file_values(p, {1}), Error);
}

TEST_CASE("every rule of initialisation has its variance") {
  Parameters parameters;
  const Shape shape{64, 3, 3, 32};  // fan_in 288, fan_out 576
  Parameter& normal = parameters.get("a", shape, true, Role::weight, Init::kaiming_normal_fan_out);
  Parameter& uniform = parameters.get("b", shape, true, Role::weight, Init::kaiming_uniform_fan_in);
  Parameter& xavier = parameters.get("c", shape, true, Role::weight, Init::xavier_uniform);
  Parameter& torch = parameters.get("d", shape, true, Role::weight, Init::torch_default);
  parameters.allocate();
  parameters.initialize(3);
  // 18,432 values: the variance of a sample is within 5 % of the truth at far more than 4 sigma.
  CHECK(variance(normal) == doctest::Approx(2.0 / 576).epsilon(0.05));
  CHECK(variance(uniform) == doctest::Approx(6.0 / 288 / 3).epsilon(0.05));
  CHECK(variance(xavier) == doctest::Approx(6.0 / (288 + 576) / 3).epsilon(0.05));
  CHECK(variance(torch) == doctest::Approx(1.0 / 288 / 3).epsilon(0.05));
}

TEST_CASE("the number of threads changes no initial value") {
  auto draw = [](int count) {
    set_threads(count);
    Parameters parameters;
    Parameter& p =
        parameters.get("w", {65, 3, 3, 131}, true, Role::weight, Init::kaiming_normal_fan_in);
    parameters.allocate();
    parameters.initialize(1);
    return parameters.file_values(p);
  };
  const auto one = draw(1), two = draw(2), three = draw(3);
  set_threads(0);
  CHECK(one == two);
  CHECK(one == three);
}

TEST_CASE("a parameter's values depend on seed and name alone") {
  auto draw = [](std::uint64_t seed, bool with_another) {
    Parameters parameters;
    if (with_another)
      parameters.get("other", {8, 1, 1, 8}, true, Role::weight, Init::xavier_uniform);
    Parameter& p = parameters.get("w", {4, 3, 3, 4}, true, Role::weight, Init::xavier_uniform);
    parameters.allocate();
    parameters.initialize(seed);
    return parameters.file_values(p);
  };
  CHECK(draw(1, false) == draw(1, true));
  CHECK(draw(1, false) != draw(2, false));
}

TEST_CASE("the same name with another shape is refused") {
  Parameters parameters;
  parameters.get("w", {1, 1, 1, 4}, false, Role::weight, Init::zeros);
  CHECK_THROWS_AS(parameters.get("w", {1, 1, 1, 5}, false, Role::weight, Init::zeros), Error);
}
