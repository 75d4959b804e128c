// Products of the matrices that features are: attention between pixels.
#include "kernels/matrix.h"

#include "engine/ops.h"

namespace fjord {

Tensor matrix_multiply(Net net, Tensor a, Tensor b, MatrixProduct product, Shape shape) {
  const MatrixProduct& m = product;
  check(!m.transpose_a && shape.count() == shape.n * m.rows * m.columns &&
            a.shape().count() == shape.n * m.rows * m.inner &&
            b.shape().count() == shape.n * m.inner * m.columns,
        net.path, "matrix_multiply of {} by {} to {}", to_string(a.shape()), to_string(b.shape()),
        to_string(shape));
  Tensor y = net.tensor(shape, "product");
  y.slot->needs_grad = a.needs_grad() || b.needs_grad();
  net.word("matrix_multiply", {a, b}, y,
           {{"rows", static_cast<double>(m.rows)},
            {"columns", static_cast<double>(m.columns)},
            {"inner", static_cast<double>(m.inner)},
            {"transpose_b", m.transpose_b}});
  net.record(matrix_product, in(net.materialize(a)), in(net.materialize(b)), out(y), m);
  net.on_backward(y, [=] {
    const Tensor dy = net.grad(y);
    // da = dy * b', db = a' * dy, or transposed with b.
    if (Out da = net.grad_sink(a))
      net.record(matrix_product, in(dy), in(net.materialize(b)), da,
                 MatrixProduct{m.rows, m.inner, m.columns, false, !m.transpose_b});
    if (Out db = net.grad_sink(b)) {
      if (m.transpose_b)
        net.record(matrix_product, in(dy), in(net.materialize(a)), db,
                   MatrixProduct{m.columns, m.inner, m.rows, true, false});
      else
        net.record(matrix_product, in(net.materialize(a)), in(dy), db,
                   MatrixProduct{m.inner, m.columns, m.rows, true, false});
    }
  });
  return y;
}

Tensor transposed(Net net, Tensor x, std::int64_t rows) {
  const std::int64_t columns = x.shape().count() / x.n() / rows;
  Tensor y = net.tensor(x.shape(), "transposed");
  y.slot->needs_grad = x.needs_grad();
  net.word("transposed", {x}, y, {{"rows", static_cast<double>(rows)}});
  net.record(matrix_transpose, in(net.materialize(x)), out(y), rows);
  net.on_backward(y, [=] {
    if (Out dx = net.grad_sink(x)) net.record(matrix_transpose, in(net.grad(y)), dx, columns);
  });
  return y;
}

}  // namespace fjord
