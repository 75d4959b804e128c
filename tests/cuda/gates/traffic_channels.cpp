// Traffic of gates and of products of matrices.
#include "kernels/gate.h"
#include "kernels/matrix.h"
#include "tests/cuda/gates/traffic_cases.h"

namespace fjord {

namespace {

const Shape image{2, 32, 32, 64}, wide{2, 32, 32, 128};
const Shape rows{2, 1, 1, 64}, pixels{2, 32, 32, 1};

void add_channels(std::vector<Measured>& all) {
  // Each thread reads its channels' factors.
  all.push_back(
      {traffic_case(
           "channel_scale", "", {read("x", image), read("s", rows), write("y", image)},
           {"x", "s", "y"},
           [](Operands& t, Stream& s) { channel_scale(t.in("x"), t.in("s"), t.out("y"), 1, s); }),
       {.asked = 1.3}});
  all.push_back(
      {traffic_case("channel_scale", "of ones", {read("s", rows), write("y", image)}, {"s", "y"},
                    [](Operands& t, Stream& s) { channel_scale({}, t.in("s"), t.out("y"), 1, s); }),
       {.asked = 1.6}});
  all.push_back({traffic_case(
      "channel_sums", "of products", {read("a", image), read("b", image), write("y", rows)},
      {"a", "b", "y"},
      [](Operands& t, Stream& s) { channel_sums(t.in("a"), t.in("b"), t.out("y"), 1, s); })});
  all.push_back({traffic_case(
      "channel_sums", "", {read("a", image), write("y", rows)}, {"a", "y"},
      [](Operands& t, Stream& s) { channel_sums(t.in("a"), {}, t.out("y"), 1, s); })});
}

void add_pixels(std::vector<Measured>& all) {
  all.push_back({traffic_case(
      "pixel_scale", "", {read("x", image), read("s", pixels), write("y", image)}, {"x", "s", "y"},
      [](Operands& t, Stream& s) { pixel_scale(t.in("x"), t.in("s"), t.out("y"), s); })});
  all.push_back({traffic_case(
      "pixel_sums", "", {read("a", image), read("b", image), write("y", pixels)}, {"a", "b", "y"},
      [](Operands& t, Stream& s) { pixel_sums(t.in("a"), t.in("b"), t.out("y"), s); })});
}

void add_split_attention(std::vector<Measured>& all) {
  all.push_back(
      {traffic_case("channel_fold", "", {read("x", wide), write("y", image)}, {"x", "y"},
                    [](Operands& t, Stream& s) { channel_fold(t.in("x"), t.out("y"), s); })});
  all.push_back(
      {traffic_case("channel_repeat", "", {read("dy", image), write("dx", wide)}, {"dy", "dx"},
                    [](Operands& t, Stream& s) { channel_repeat(t.in("dy"), t.out("dx"), s); })});
  const Shape sums{16, 1, 1, 512};
  const SplitSoftmax split{.groups = 2, .splits = 2};
  // A thread reads its few values for the largest, for the sum, and for the result.
  all.push_back(
      {traffic_case("split_softmax_forward", "", {read("x", sums), write("y", sums)}, {"x", "y"},
                    [split](Operands& t, Stream& s) {
                      split_softmax_forward(t.in("x"), t.out("y"), split, s);
                    }),
       {.asked = 2.1}});
  all.push_back(
      {traffic_case("split_softmax_backward", "",
                    {read("y", sums), read("dy", sums), write("dx", sums)}, {"y", "dy", "dx"},
                    [split](Operands& t, Stream& s) {
                      split_softmax_backward(t.in("y"), t.in("dy"), t.out("dx"), split, s);
                    }),
       {.asked = 1.7}});
}

void add_matrices(std::vector<Measured>& all) {
  // Tiles of 16 x 16: each factor is asked for once for every 16 rows or columns of the other.
  for (const bool transposed : {false, true}) {
    const MatrixProduct m{64, 64, 64, transposed, !transposed};
    const Shape matrix{4, 1, 64, 64};
    all.push_back(
        {traffic_case("matrix_product", transposed ? "a' b" : "a b'",
                      {read("a", matrix), read("b", matrix), write("y", matrix)}, {"a", "b", "y"},
                      [m](Operands& t, Stream& s) {
                        matrix_product(t.in("a"), t.in("b"), t.out("y"), m, s);
                      }),
         {.asked = 3.1}});
  }
  all.push_back({traffic_case(
      "matrix_transpose", "", {read("x", image), write("y", {2, 1, 64, 1024})}, {"x", "y"},
      [](Operands& t, Stream& s) { matrix_transpose(t.in("x"), t.out("y"), 1024, s); })});
}

}  // namespace

void add_channel_traffic(std::vector<Measured>& all) {
  add_channels(all);
  add_pixels(all);
  add_split_attention(all);
  add_matrices(all);
}

}  // namespace fjord
