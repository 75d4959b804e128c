// Cases of matrix products and transpositions.
#include "kernels/matrix.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

void add_product(std::vector<OpCase>& cases, std::int64_t images, MatrixProduct m, Write mode) {
  cases.push_back(
      {.slot = "matrix_product",
       .what = fmt::format("{} of {} x {} by {}{}{}{}", images, m.rows, m.inner, m.columns,
                           m.transpose_a ? " a'" : "", m.transpose_b ? " b'" : "",
                           mode == Write::add ? " added" : ""),
       .reduction = m.inner,
       .tensors = {read("a", {images, 1, m.rows, m.inner}),
                   read("b", {images, 1, m.inner, m.columns}),
                   write("y", {images, 1, m.rows, m.columns}, mode)},
       .features = {"a", "b", "y"},
       .run = [m](Operands& t, Stream& stream) {
         matrix_product(t.in("a"), t.in("b"), t.out("y"), m, stream);
       }});
}

void add_transpose(std::vector<OpCase>& cases, Shape x, Write mode) {
  cases.push_back({.slot = "matrix_transpose",
                   .what = to_string(x) + (mode == Write::add ? " added" : ""),
                   .tensors = {read("x", x), write("y", {x.n, 1, x.c, x.h * x.w}, mode)},
                   .features = {"x", "y"},
                   .run = [rows = x.h * x.w](Operands& t, Stream& stream) {
                     matrix_transpose(t.in("x"), t.out("y"), rows, stream);
                   }});
}

std::vector<OpCase> matrix_cases() {
  std::vector<OpCase> cases;
  for (const bool a : {false, true})
    for (const bool b : {false, true}) {
      add_product(cases, 2, {5, 7, 19, a, b}, a == b ? Write::store : Write::add);
      add_product(cases, 1, {17, 16, 3, a, b}, Write::store);
    }
  for (const Write mode : {Write::store, Write::add}) add_transpose(cases, {2, 3, 4, 5}, mode);
  return cases;
}

const AddCases added(matrix_cases);

}  // namespace

}  // namespace fjord
