// Cases of instance normalisation.
#include "kernels/instance_norm.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

double positive(std::int64_t i) { return uniform(2, i, 0.1, 2); }

void add_forward(std::vector<OpCase>& cases, Shape s, Write mode, Act act) {
  const Shape v{1, 1, 1, s.c};
  cases.push_back({.slot = "instance_norm_forward",
                   .what = to_string(s) + (mode == Write::add ? " added" : ""),
                   .reduction = s.h * s.w,
                   .tensors = {read("x", s), read("gamma", v), read("beta", v), write("y", s, mode),
                               write("vectors", {s.n, 1, 5, s.c})},
                   .features = {"x", "y"},
                   .run = [act](Operands& t, Stream& stream) {
                     instance_norm_forward(t.in("x"), t.in("gamma"), t.in("beta"), t.out("y"),
                                           t.out("vectors"), act, {.eps = 1e-2}, stream);
                   }});
}

void add_backward(std::vector<OpCase>& cases, Shape s, Write mode, Act act, bool dx) {
  const Shape v{1, 1, 1, s.c};
  OpCase c{.slot = "instance_norm_backward",
           .what = to_string(s) + (mode == Write::add ? " added" : "") + (dx ? "" : " without dx"),
           .reduction = s.pixels(),
           .tensors = {read("x", s), read("dy", s), read("vectors", {s.n, 1, 5, s.c}, positive),
                       write("sums", {s.n, 1, 2, s.c}), write("dgamma", v, mode),
                       write("dbeta", v, mode)},
           .features = {"x", "dy", "dx"},
           .run = [act](Operands& t, Stream& stream) {
             instance_norm_backward(t.in("x"), t.in("dy"), t.in("vectors"), t.out("sums"),
                                    t.out("dgamma"), t.out("dbeta"), t.out("dx"), act, stream);
           }};
  if (dx) c.tensors.push_back(write("dx", s, mode));
  cases.push_back(c);
}

std::vector<OpCase> instance_norm_cases() {
  std::vector<OpCase> cases;
  for (const Shape s : {Shape{3, 5, 7, 33}, {2, 13, 11, 64}, {1, 4, 4, 1}}) {
    for (const Write mode : {Write::store, Write::add}) add_forward(cases, s, mode, Act::relu);
    add_backward(cases, s, Write::store, Act::relu, true);
    add_backward(cases, s, Write::add, Act::relu, s.n != 1);
  }
  add_forward(cases, {2, 3, 3, 5}, Write::store, Act::none);
  add_backward(cases, {2, 3, 3, 5}, Write::store, Act::none, true);
  return cases;
}

const AddCases added(instance_norm_cases);

}  // namespace

}  // namespace fjord
