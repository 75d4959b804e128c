// Cases of batch normalisation.
#include "kernels/norm.h"

#include "tests/kernels/op_case.h"

namespace fjord {

namespace {

const std::vector<Shape> shapes{{1, 1, 1, 1},    {2, 1, 1, 5},    {1, 7, 9, 3},
                                {1, 301, 77, 1}, {2, 33, 31, 16}, {3, 5, 7, 33},
                                {2, 13, 11, 64}, {1, 9, 9, 130},  {2, 2, 2, 512}};

Shape vector_of(std::int64_t c) { return {1, 1, 1, c}; }

// More pixels than the rows of a GPU's second stage of sums, and more values than its threads.
const Shape many_pixels{1, 300, 301, 1}, many_values{1, 523, 503, 1};

double far_from_zero(std::int64_t i) { return uniform(1, i, 100, 101); }
double further_from_zero(std::int64_t i) { return uniform(1, i, 999, 1001); }
double positive(std::int64_t i) { return uniform(2, i, 0.1, 2); }
double batches(std::int64_t) { return 41; }

std::string name_of(Shape shape, Write mode, Act act) {
  return to_string(shape) + (mode == Write::add ? " added" : "") +
         (act == Act::relu ? " relu" : "");
}

void add_statistics(std::vector<OpCase>& cases, Shape s) {
  const Operand near = read("x", s), far = read("x", s, far_from_zero),
                further = read("x", s, further_from_zero);
  for (const auto& [x, mean] : {std::pair{near, ""}, {far, " far"}, {further, " further"}})
    cases.push_back(
        {.slot = "batch_norm_statistics",
         .what = to_string(s) + mean,
         .reduction = s.pixels(),
         .tensors = {x, write("mean", vector_of(s.c)), write("variance", vector_of(s.c))},
         .features = {"x"},
         .run = [](Operands& t, Stream& stream) {
           batch_norm_statistics(t.in("x"), t.out("mean"), t.out("variance"), stream);
         }});
}

void add_vectors(std::vector<OpCase>& cases, std::int64_t c, std::int64_t count) {
  const Shape v = vector_of(c);
  cases.push_back(
      {.slot = "batch_norm_finalize",
       .what = fmt::format("{} channels, {} values", c, count),
       .tensors = {read("mean", v), read("variance", v, positive), read("gamma", v),
                   read("beta", v), update("running_mean", v), update("running_var", v, positive),
                   typed(update("batches", {}, batches), DType::i64), write("scale", v),
                   write("shift", v), write("inv_std", v)},
       .run = [count](Operands& t, Stream& stream) {
         batch_norm_finalize(t.in("mean"), t.in("variance"), t.in("gamma"), t.in("beta"),
                             t.inout("running_mean"), t.inout("running_var"), t.inout("batches"),
                             t.out("scale"), t.out("shift"), t.out("inv_std"), count,
                             {.eps = 1e-3, .momentum = 0.25}, stream);
       }});
  cases.push_back(
      {.slot = "batch_norm_fold",
       .what = fmt::format("{} channels", c),
       .tensors = {read("gamma", v), read("beta", v), read("running_mean", v),
                   read("running_var", v, positive), write("scale", v), write("shift", v)},
       .run = [](Operands& t, Stream& stream) {
         batch_norm_fold(t.in("gamma"), t.in("beta"), t.in("running_mean"), t.in("running_var"),
                         t.out("scale"), t.out("shift"), {.eps = 1e-3}, stream);
       }});
}

void add_apply(std::vector<OpCase>& cases, Shape s, Write mode, Act act) {
  for (const bool residual : {false, true}) {
    OpCase c{.slot = "batch_norm_apply",
             .what = name_of(s, mode, act) + (residual ? " residual" : ""),
             .tensors = {read("x", s), read("scale", vector_of(s.c)), read("shift", vector_of(s.c)),
                         write("y", s, mode)},
             .features = {"x", "residual", "y"},
             .run = [act](Operands& t, Stream& stream) {
               batch_norm_apply(t.in("x"), t.in("scale"), t.in("shift"), t.in("residual"),
                                t.out("y"), act, stream);
             }};
    if (residual) c.tensors.push_back(read("residual", s));
    cases.push_back(c);
  }
}

// The tensors that all backward kernels read; y may be absent.
std::vector<Operand> backward_inputs(Shape s, bool from_y) {
  const Shape v = vector_of(s.c);
  std::vector<Operand> inputs{read("x", s),     read("dy", s),   read("scale", v),
                              read("shift", v), read("mean", v), read("inv_std", v, positive)};
  if (from_y) inputs.push_back(read("y", s));
  return inputs;
}

void add_backward_reduce(std::vector<OpCase>& cases, Shape s, Write mode, Act act, bool from_y) {
  OpCase c{.slot = "batch_norm_backward_reduce",
           .what = name_of(s, mode, act) + (from_y ? " from y" : ""),
           .reduction = s.pixels(),
           .tensors = backward_inputs(s, from_y),
           .features = {"x", "y", "dy"},
           .run = [act](Operands& t, Stream& stream) {
             batch_norm_backward_reduce(t.in("x"), t.in("y"), t.in("dy"), t.in("scale"),
                                        t.in("shift"), t.in("mean"), t.in("inv_std"), t.out("sums"),
                                        t.out("dgamma"), t.out("dbeta"), act, stream);
           }};
  c.tensors.push_back(write("sums", {1, 1, 2, s.c}));
  c.tensors.push_back(write("dgamma", vector_of(s.c), mode));
  c.tensors.push_back(write("dbeta", vector_of(s.c), mode));
  cases.push_back(c);
}

// Which of dx and dresidual a case wants.
enum class Wanted : std::uint8_t { dx, dresidual, both };

void add_results(OpCase& c, Shape s, Write mode, Wanted wanted) {
  if (wanted != Wanted::dresidual) c.tensors.push_back(write("dx", s, mode));
  if (wanted != Wanted::dx) c.tensors.push_back(write("dresidual", s, mode));
  c.what += wanted == Wanted::dx ? " dx" : wanted == Wanted::dresidual ? " dresidual" : " both";
}

void add_backward_apply(std::vector<OpCase>& cases, Shape s, Write mode, Act act, bool from_y,
                        Wanted wanted) {
  OpCase c{.slot = "batch_norm_backward_apply",
           .what = name_of(s, mode, act) + (from_y ? " from y" : ""),
           .tensors = backward_inputs(s, from_y),
           .features = {"x", "y", "dy", "dx", "dresidual"},
           .run = [act](Operands& t, Stream& stream) {
             batch_norm_backward_apply(t.in("x"), t.in("y"), t.in("dy"), t.in("scale"),
                                       t.in("shift"), t.in("mean"), t.in("inv_std"), t.in("sums"),
                                       t.out("dx"), t.out("dresidual"), act, stream);
           }};
  c.tensors.push_back(read("sums", {1, 1, 2, s.c}));
  add_results(c, s, mode, wanted);
  cases.push_back(c);
}

void add_constant_backward(std::vector<OpCase>& cases, Shape s, Write mode, Act act, bool from_y,
                           Wanted wanted) {
  OpCase c{.slot = "scale_shift_backward",
           .what = name_of(s, mode, act) + (from_y ? " from y" : ""),
           .tensors = backward_inputs(s, from_y),
           .features = {"x", "y", "dy", "dx", "dresidual"},
           .run = [act](Operands& t, Stream& stream) {
             scale_shift_backward(t.in("x"), t.in("y"), t.in("dy"), t.in("scale"), t.in("shift"),
                                  t.out("dx"), t.out("dresidual"), act, stream);
           }};
  add_results(c, s, mode, wanted);
  cases.push_back(c);
}

// dx and dresidual are one tensor when x is its own residual: both are added up in it.
void add_own_residual(std::vector<OpCase>& cases, Shape s) {
  OpCase c{.slot = "batch_norm_backward_apply",
           .what = to_string(s) + " own residual",
           .tensors = backward_inputs(s, false),
           .features = {"x", "dy", "dx"},
           .roundings = 2};
  c.run = [](Operands& t, Stream& stream) {
    Out residual = t.out("dx");
    residual.write = Write::add;
    batch_norm_backward_apply(t.in("x"), {}, t.in("dy"), t.in("scale"), t.in("shift"), t.in("mean"),
                              t.in("inv_std"), t.in("sums"), t.out("dx"), residual, Act::relu,
                              stream);
  };
  c.tensors.push_back(read("sums", {1, 1, 2, s.c}));
  c.tensors.push_back(write("dx", s));
  cases.push_back(c);
}

std::vector<OpCase> norm_cases() {
  std::vector<OpCase> cases;
  for (const std::int64_t c : {1, 3, 16, 65}) add_vectors(cases, c, c == 1 ? 1 : 12);
  for (const Shape s : shapes) {
    add_statistics(cases, s);
    for (const Write mode : {Write::store, Write::add})
      for (const Act act : {Act::none, Act::relu}) {
        add_apply(cases, s, mode, act);
        for (const bool from_y : {false, true}) {
          if (from_y && act == Act::none) continue;  // y is not looked at
          add_backward_reduce(cases, s, mode, act, from_y);
          for (const Wanted wanted : {Wanted::dx, Wanted::dresidual, Wanted::both}) {
            if (wanted != Wanted::both && s.c != 16 && s.c != 33) continue;
            add_backward_apply(cases, s, mode, act, from_y, wanted);
            add_constant_backward(cases, s, mode, act, from_y, wanted);
          }
        }
      }
  }
  add_statistics(cases, many_pixels);
  add_backward_reduce(cases, many_pixels, Write::store, Act::relu, false);
  add_apply(cases, many_values, Write::store, Act::relu);
  add_backward_apply(cases, many_values, Write::store, Act::relu, false, Wanted::both);
  add_own_residual(cases, {2, 7, 9, 16});
  return cases;
}

const AddCases added(norm_cases);

}  // namespace

}  // namespace fjord
