// Cases of the element-wise kernels.
#include "kernels/pointwise.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

const std::vector<Shape> shapes{{1, 1, 1, 1}, {2, 3, 5, 7}, {1, 37, 41, 3}, {2, 64, 64, 16}};

std::vector<OpCase> pointwise_cases() {
  std::vector<OpCase> cases;
  for (const Shape s : shapes)
    for (const Write mode : {Write::store, Write::add}) {
      const std::string what = to_string(s) + (mode == Write::add ? " added" : "");
      cases.push_back({.slot = "relu_forward",
                       .what = what,
                       .tensors = {read("x", s), write("y", s, mode)},
                       .run = [](Operands& t, Stream& stream) {
                         relu_forward(t.in("x"), t.out("y"), stream);
                       }});
      cases.push_back({.slot = "relu_backward",
                       .what = what,
                       .tensors = {read("y", s), read("dy", s), write("dx", s, mode)},
                       .run = [](Operands& t, Stream& stream) {
                         relu_backward(t.in("y"), t.in("dy"), t.out("dx"), stream);
                       }});
      cases.push_back({.slot = "add_forward",
                       .what = what,
                       .tensors = {read("a", s), read("b", s), write("y", s, mode)},
                       .run = [](Operands& t, Stream& stream) {
                         add_forward(t.in("a"), t.in("b"), t.out("y"), stream);
                       }});
      cases.push_back({.slot = "copy_forward",
                       .what = what,
                       .tensors = {read("x", s), write("y", s, mode)},
                       .run = [](Operands& t, Stream& stream) {
                         copy_forward(t.in("x"), t.out("y"), stream);
                       }});
    }
  return cases;
}

const AddCases added(pointwise_cases);

}  // namespace

}  // namespace fjord
