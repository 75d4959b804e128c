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
                       .features = {"x", "y"},
                       .run = [](Operands& t, Stream& stream) {
                         relu_forward(t.in("x"), t.out("y"), stream);
                       }});
      cases.push_back({.slot = "relu_backward",
                       .what = what,
                       .tensors = {read("y", s), read("dy", s), write("dx", s, mode)},
                       .features = {"y", "dy", "dx"},
                       .run = [](Operands& t, Stream& stream) {
                         relu_backward(t.in("y"), t.in("dy"), t.out("dx"), stream);
                       }});
      cases.push_back({.slot = "add_forward",
                       .what = what,
                       .tensors = {read("a", s), read("b", s), write("y", s, mode)},
                       .features = {"a", "b", "y"},
                       .run = [](Operands& t, Stream& stream) {
                         add_forward(t.in("a"), t.in("b"), t.out("y"), stream);
                       }});
      cases.push_back({.slot = "copy_forward",
                       .what = what,
                       .tensors = {read("x", s), write("y", s, mode)},
                       .features = {"x", "y"},
                       .run = [](Operands& t, Stream& stream) {
                         copy_forward(t.in("x"), t.out("y"), stream);
                       }});
      // Between two types: gradients of 16 bits added to those of f32, and tensors converted.
      const OpCase copy = cases.back();
      for (const char* feature : {"x", "y"}) {
        OpCase converted = copy;
        converted.what += std::string(", 16 bits in ") + feature;
        converted.features = {feature};
        cases.push_back(converted);
      }
    }
  // More than a GPU's threads take in one turn.
  const Shape many{1, 1025, 1025, 1};
  cases.push_back(
      {.slot = "add_forward",
       .what = to_string(many),
       .tensors = {read("a", many), read("b", many), write("y", many)},
       .features = {"a", "b", "y"},
       .run = [](Operands& t, Stream& s) { add_forward(t.in("a"), t.in("b"), t.out("y"), s); }});
  return cases;
}

const AddCases added(pointwise_cases);

}  // namespace

}  // namespace fjord
